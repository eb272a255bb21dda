"""ci/baselines/<model>/: the references as files, replaced only by `zoo regress --accept`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import List, Optional, Tuple

from common.core.errors import ZooError
from common.core.files import write_atomically
from common.evidence.gate import baseline as baselines
from common.evidence.gate.baseline import Baseline, Key

FOLDER = Path("ci") / "baselines"


def baseline_path(root: Path, baseline: Baseline) -> Path:
    """Where a reference lies."""
    return root / FOLDER / baseline.key.model / baseline.file_name


def baselines_of(root: Path, model: str) -> List[Baseline]:
    """The references of a network, by file name.

    Raises:
        ZooError: a file that is no valid reference, or lies under another's name.
    """
    return [_read(path) for path in sorted((root / FOLDER / model).glob("*.json"))]


def _read(path: Path) -> Baseline:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ZooError(f"can't read the reference {path}: {error}") from error
    baseline = baselines.from_json(text, str(path))
    if (path.parent.name, path.name) != (baseline.key.model, baseline.file_name):
        raise ZooError(
            f"{path} holds the reference {baseline.key.model}/{baseline.file_name}; give "
            "it its own name back"
        )
    return baseline


def matching(stored: List[Baseline], key: Key) -> Optional[Baseline]:
    """The reference of a key, None where there is none."""
    return next((baseline for baseline in stored if baseline.key == key), None)


def store(root: Path, baseline: Baseline) -> Tuple[Path, Optional[Baseline]]:
    """Writes a reference; returns its path, and the one of the same key that it replaces."""
    before = matching(baselines_of(root, baseline.key.model), baseline.key)
    if before is not None:  # a case may have got another name; its recipe is still the same
        baseline = dataclasses.replace(baseline, case=before.case)
    path = baseline_path(root, baseline)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, baselines.to_json(baseline))
    return path, before
