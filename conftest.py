"""What all tests share: the real datasets, and skips for what this machine lacks."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import Callable, List

import pytest

CHECKOUT = Path(__file__).resolve().parent
FRAMEWORKS = {"pytorch": "torch", "tensorflow": "tensorflow"}


def pytest_configure() -> None:
    """Imports torch before any test imports TensorFlow 1.15, after which torch crashes."""
    if sys.version_info < (3, 8) and all(map(_is_installed, FRAMEWORKS.values())):
        import torch  # noqa: F401


@pytest.fixture(scope="session")
def zoo_data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the path of a real dataset by its name under ZOO_DATA (default: data/ in the checkout).

    A dataset that is there as NAME.tar.xz is unpacked for the session. The test is skipped, with
    the reason said, where the dataset is absent.
    """
    folder = Path(os.environ.get("ZOO_DATA") or CHECKOUT / "data")
    base = tmp_path_factory.getbasetemp()  # of each worker; what is above it, all of them share
    unpacked = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "zoo_data"
    unpacked.mkdir(exist_ok=True)

    def find(name: str) -> Path:
        archive = folder / (name + ".tar.xz")
        if (folder / name).exists():
            return folder / name
        if not archive.exists():
            pytest.skip(f"no {name} in {folder}; set ZOO_DATA to the folder that has it")
        with open(str(unpacked / "lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (unpacked / name).exists():
                shutil.unpack_archive(str(archive), str(unpacked))
        return unpacked / name

    return find


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """Skips the tests whose framework or accelerator this machine lacks."""
    missing = {mark: package for mark, package in FRAMEWORKS.items() if not _is_installed(package)}
    for item in items:
        for mark, package in missing.items():
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=package + " is not installed"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a gpu test here and not at collection, so that torch is imported only when one runs."""
    if item.get_closest_marker("gpu") and not _has_gpu():
        pytest.skip("torch sees no GPU on this machine")


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _has_gpu() -> bool:
    if not _is_installed("torch"):
        return False
    import torch

    return bool(torch.cuda.is_available())
