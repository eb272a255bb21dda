"""Runs the module that generates a dataset, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, Mapping, Sequence

from common.cards.model_folders import FRAMEWORK_FOLDERS
from common.data.catalogue import Dataset


def generate(dataset: Dataset, root: Path, data_path: Path, flags: Sequence[str]) -> int:
    """Runs `python -m MODULE NAME --data_path D flags`; returns its exit code.

    Args:
        root: the checkout that holds the module.
    """
    assert dataset.generated_by is not None
    command = [
        sys.executable,
        "-m",
        dataset.generated_by,
        dataset.name,
        "--data_path",
        str(data_path),
    ] + list(flags)
    sys.stdout.flush()
    process = subprocess.Popen(command, env=environment(root, os.environ))
    try:
        return process.wait()
    except KeyboardInterrupt:  # the terminal sends it to the generator too, which tidies up
        process.wait()
        raise


def environment(root: Path, variables: Mapping[str, str]) -> Dict[str, str]:
    """The variables with the checkout's packages on PYTHONPATH."""
    folders = [str(root)] + [str(root / name) for name in FRAMEWORK_FOLDERS]
    if variables.get("PYTHONPATH"):
        folders.append(variables["PYTHONPATH"])
    return dict(variables, PYTHONPATH=os.pathsep.join(folders))
