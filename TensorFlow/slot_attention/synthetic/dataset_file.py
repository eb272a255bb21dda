"""dataset.json: what a synthetic dataset is. It is written last, so that it stands for a whole one.

Until then dataset.part.json tells which splits are whole, and a further run goes on from there.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Optional

from common.core.errors import ZooError
from common.core.files import FolderLock, make_folder, write_atomically

NAME = "dataset.json"
PART_NAME = "dataset.part.json"
Description = Dict[str, Any]


def read_description(path: Path) -> Optional[Description]:
    """Returns the content of dataset.json or of dataset.part.json; None where there is none.

    Raises:
        ZooError: it is no such file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ZooError(
            f"{path} can't be read ({error}); move its folder away or give another --data_path"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("splits"), dict):
        raise ZooError(
            f"{path} describes no dataset; move its folder away or give another --data_path"
        )
    return content


def write_description(path: Path, description: Mapping[str, Any]) -> None:
    """Writes it whole, as JSON with sorted keys."""
    write_atomically(path, json.dumps(description, indent=2, sort_keys=True) + "\n")


def check_same(path: Path, found: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuses to mix two datasets.

    Raises:
        ZooError: found, the content of path, is not what is asked for; both are named.
    """
    was, now = _identity(found), _identity(asked)
    differing = [name for name in sorted(set(was) | set(now)) if was.get(name) != now.get(name)]
    if differing:
        raise ZooError(
            f"{path} is there with {_settings_text(was, differing)}, and asked for is "
            f"{_settings_text(now, differing)}; give another --data_path, the "
            "same settings, or move it away"
        )


def _identity(description: Mapping[str, Any]) -> Dict[str, Any]:
    """Everything that decides the bytes, as flat names and values."""
    settings = description.get("settings")
    identity = dict(settings) if isinstance(settings, dict) else {}
    identity.update({name: description.get(name) for name in ("name", "seed", "format")})
    counts = description.get("counts")
    identity.update(
        counts
        if isinstance(counts, dict)
        else {name: split.get("count") for name, split in description["splits"].items()}
    )
    return json.loads(json.dumps(identity))


def _settings_text(identity: Mapping[str, Any], names: Any) -> str:
    return " ".join(
        "{}={}".format(name, json.dumps(identity.get(name), separators=(",", ":")))
        for name in names
    )


@contextlib.contextmanager
def locked_folder(data_path: Path, name: str) -> Iterator[Path]:
    """Makes <data_path>/<name> and keeps other processes from writing it; yields the folder.

    Raises:
        ZooError: the folder can't be written, or another process writes it.
    """
    folder = make_folder(Path(data_path) / name, "--data_path")
    lock = FolderLock(folder)
    if not lock.acquire():
        raise ZooError(
            f"{folder} is being written by process {lock.holder()}; wait for it or give another "
            "--data_path"
        )
    try:
        yield folder
    finally:
        lock.release()
