"""The locks: exact, complete, and without CUDA where that must not come along."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

LOCKS = Path(__file__).resolve().parent.parent / "ci" / "locks"
STACKS = ("reference", "current")
PIN = re.compile(r"^[a-z0-9.-]+==[A-Za-z0-9.+]+( ; .+)?$")
FIXED = {
    "reference": [
        "tensorflow==1.15.0",
        "torch==1.8.1",
        "torchvision==0.9.1",
        "tensorflow-datasets==3.2.1",
    ],
    "current": ["torch==2.13.0+cpu"],
}


def lines_of(path):
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def name_of(line):
    return re.split(r"[=<> ]", line)[0].lower().replace("_", "-")


@pytest.mark.parametrize("stack", STACKS)
def test_every_line_pins_one_version_exactly(stack):
    assert [line for line in lines_of(LOCKS / (stack + ".txt")) if not PIN.match(line)] == []


@pytest.mark.parametrize("stack", STACKS)
def test_what_the_stack_asks_for_is_in_its_lock(stack):
    locked = {name_of(line) for line in lines_of(LOCKS / (stack + ".txt"))}
    asked = {name_of(line) for line in lines_of(LOCKS / (stack + ".in"))}
    assert asked - locked == set()


@pytest.mark.parametrize("stack", STACKS)
def test_the_frameworks_are_those_of_the_contract(stack):
    pins = [line.split(" ; ")[0] for line in lines_of(LOCKS / (stack + ".txt"))]
    assert [pin for pin in FIXED[stack] if pin not in pins] == []


def test_current_brings_no_cuda_package():
    names = [name_of(line) for line in lines_of(LOCKS / "current.txt")]
    assert [name for name in names if re.match("nvidia|cuda|triton", name)] == []


def test_no_lock_names_what_the_registry_has_from_someone_else():
    names = {name_of(line) for stack in STACKS for line in lines_of(LOCKS / (stack + ".txt"))}
    assert names & {"apex", "npu-bridge", "torch-npu"} == set()
