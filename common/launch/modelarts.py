"""Starts a launch script as the ModelArts platform asks for it: by --data_url and --train_url."""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path
from typing import Optional, Sequence

INPUTS = "/home/ma-user/modelarts/inputs/data_url_0"
OUTPUTS = "/home/ma-user/modelarts/outputs/train_url_0/"


def run_script(script: Path, argv: Optional[Sequence[str]] = None) -> int:
    """Runs a launch script with the platform's folders; returns its exit code.

    The run folder is `output` in --train_url, so that what else the platform keeps there stays;
    flags that are not the platform's go on to the script.
    """
    parser = argparse.ArgumentParser(
        description=f"Runs {script.name} on ModelArts.", allow_abbrev=False
    )
    parser.add_argument("--data_url", default=INPUTS, help="the data set's folder")
    parser.add_argument("--train_url", default=OUTPUTS, help="where results are collected")
    arguments, others = parser.parse_known_args(argv)
    command = [
        "bash",
        str(script),
        "--data_path=" + arguments.data_url,
        "--output_path=" + os.path.join(arguments.train_url, "output"),
    ]
    return subprocess.call(command + others)
