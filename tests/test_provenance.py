"""A record names the sources it was made by, and the hash of its configuration."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from common.runs.provenance import code_state, config_sha256, shown_command


@pytest.fixture()
def checkout(tmp_path: Path) -> Path:
    """A git checkout with one commit."""
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    (tmp_path / "file").write_text("one")
    for words in (["init", "-q"], ["add", "file"], identity + ["commit", "-qm", "first"]):
        subprocess.check_call(["git", "-C", str(tmp_path)] + words)
    return tmp_path


def test_a_clean_checkout_names_its_commit(checkout: Path) -> None:
    state = code_state(checkout)
    assert len(state["commit"]) == 40 and state["dirty"] is False


def test_a_changed_file_makes_it_dirty(checkout: Path) -> None:
    (checkout / "file").write_text("two")
    assert code_state(checkout)["dirty"] is True


def test_a_run_beside_the_sources_does_not_make_it_dirty(checkout: Path) -> None:
    (checkout / "output").write_text("log")
    assert code_state(checkout)["dirty"] is False


def test_outside_a_checkout_the_commit_is_unknown(tmp_path: Path) -> None:
    assert code_state(tmp_path) == {"commit": "unknown", "dirty": True}


def test_the_hash_of_a_configuration_does_not_depend_on_the_order_of_its_keys() -> None:
    assert config_sha256({"a": 1, "b": [2]}) == config_sha256({"b": [2], "a": 1})
    assert config_sha256({"a": 1}) != config_sha256({"a": 2})


def test_the_shown_command_can_be_typed_and_names_no_folder() -> None:
    words = ["/some/where/train.py", "--data_path", "/data/cifar", "--output_path=/home/me/run"]
    assert shown_command(words, "slot_attention.object_discovery") == (
        "python -m slot_attention.object_discovery.train --data_path '…/cifar' "
        "'--output_path=…/run'"
    )
