"""ci/baselines/<model>/: the references as files, replaced only by `zoo regress --accept`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import List, Mapping, Optional, Sequence

from common.core.codec import json_text, parse_json, plain, structured
from common.core.errors import ZooError
from common.core.files import write_atomically
from common.evidence.gate.baseline import SCHEMA_VERSION, Baseline, Key

FOLDER = Path("ci") / "baselines"
_ANEW = "make it anew with `zoo regress --accept`"


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
        content = parse_json(path.read_bytes(), str(path))
    except OSError as error:
        raise ZooError(f"can't read the reference {path}: {error}") from error
    version = content.pop("schema_version", None) if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise ZooError(f"{path} is not a reference of schema version {SCHEMA_VERSION}; {_ANEW}")
    if content.pop("sha256", None) != _checksum(content):
        raise ZooError(f"{path} is not as `zoo regress --accept` wrote it; {_ANEW}")
    baseline = structured(content, Baseline, str(path))
    if (path.parent.name, path.name) != (baseline.key.model, baseline.file_name):
        name = f"{baseline.key.model}/{baseline.file_name}"
        raise ZooError(f"{path} holds the reference {name}; give it its own name back")
    return baseline


def _checksum(content: Mapping[str, object]) -> str:
    """By which a change by hand is noticed."""
    whole = dict(content, schema_version=SCHEMA_VERSION)
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode("utf-8")).hexdigest()


def matching(stored: Sequence[Baseline], key: Key) -> Optional[Baseline]:
    """The reference of a key, None where there is none."""
    return next((baseline for baseline in stored if baseline.key == key), None)


def store(root: Path, baseline: Baseline) -> Path:
    """Writes a reference, in place of an earlier one of the same name; returns its path."""
    path = baseline_path(root, baseline)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = plain(baseline)
    whole = {"schema_version": SCHEMA_VERSION, **content, "sha256": _checksum(content)}
    write_atomically(path, json_text(whole))
    return path
