"""Small runs of the entry points for tests: drawn shapes, the small encoder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

from common.runs.events import effective_events

ROOT = Path(__file__).resolve().parents[3]
COMMON = ["--device=cpu", "--dataset=synthetic_shapes", "--img_size=12", "--eval_cand_size=40"]
COMMON += ["--evaluation_batch_size=16"]
TRAINING = ["--encoder=small", "--batch_size=8", "--example_cand_size=16", "--display_step=2"]
TRAINING += ["--pictures_every=0", "--val_step=0", "--save_step=0"]


def flags(folder: Path, steps: int, *more: str) -> List[str]:
    """The command line of a small training."""
    return [*COMMON, *TRAINING, f"--output_path={folder}", f"--num_steps={steps}", *more]


def start(program: str, words: List[str], **environment: str) -> subprocess.Popen:
    """Starts `python -m protoattend.<program>` as a process of its own."""
    python_path = ":".join(str(path) for path in (ROOT, ROOT / "TensorFlow"))
    own = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": python_path}
    return subprocess.Popen(
        [sys.executable, "-m", "protoattend." + program] + words,
        env={**os.environ, **own, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )


def finish(process: subprocess.Popen) -> str:
    """What a process said; it must have ended well."""
    text = process.communicate()[0]
    assert process.returncode == 0, text
    return text


def events(folder: Path, kind: str, rank: int = 0) -> List[Dict[str, Any]]:
    """The effective events of a kind of a rank."""
    found = effective_events(folder / f"rank_{rank}" / "metrics.jsonl")
    return [event for event in found if event["event"] == kind]
