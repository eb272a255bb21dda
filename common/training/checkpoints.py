"""Checkpoints: everything a run needs to go on as if it had never stopped, one folder each.

<folder>/step_00001000/weights…     all arrays, as the engine holds them
                      /state.json   everything else, and all checksums
<folder>/best -> step_00000800      the best on validation, if any

A folder appears whole, by one renaming. Which one is best is in the states; the link is for people
and programs that look for weights.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from common.core.errors import ZooError, first_line
from common.core.files import TEMPORARY_PREFIX, sha256_of, sync_file, sync_folder

FORMATS = ("training", "tensorflow.training")  # the second of before both frameworks had it
VERSION = 1
CHECKPOINTS = "ckpt"  # below a run folder
BEST = "best"
STATE = "state.json"
_REPLACED = TEMPORARY_PREFIX + "replaced_"
NOTHING_BEST: Mapping[str, Any] = {"step": 0, "score": None}


class CheckpointFolder:
    """The checkpoints of one run: the last good ones, and what is best on validation to them.

    Args:
        weights_file: the file in a checkpoint that `best.pt` is to point to, "" for none.
    """

    def __init__(self, folder: Path, keep: int = 3, weights_file: str = "") -> None:
        self.folder = Path(folder)
        self.keep, self.weights_file = keep, weights_file

    def prepare(self) -> None:
        """Makes the folder, and clears what a killed process left half-done."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob(_REPLACED + "*"):
            target = self.folder / old.name[len(_REPLACED) :]
            if not target.exists():
                os.rename(str(old), str(target))
        for left in self.folder.glob(TEMPORARY_PREFIX + "*"):
            _remove(left)

    def at(self, step: int) -> Path:
        """Where the checkpoint of a step is, or would be."""
        return self.folder / f"step_{step:08d}"

    def save(
        self, step: int, state: Mapping[str, Any], write: Callable[[Path], Mapping[str, Any]]
    ) -> Tuple[Path, str]:
        """Writes `step_<step>` whole or not at all, then drops what no kept checkpoint needs.

        Args:
            state: what state.json is to hold; checksums and version are added. Its "best" says
                which checkpoint is the best so far; that one is kept, and `best` points to it.
            write: writes files into the folder it is given; returns more for the state.

        Returns:
            The checkpoint, and the sha256 of its state.json.
        """
        target = self.at(step)
        work = self.folder / f"{TEMPORARY_PREFIX}{target.name}"
        old = self.folder / (_REPLACED + target.name)
        _remove(work)
        work.mkdir()
        try:
            state = dict(state, **write(work))
            files = {path.name: sha256_of(path) for path in sorted(work.iterdir())}
            content = dict(state, format=FORMATS[0], version=VERSION, step=step, files=files)
            text = (json.dumps(content, indent=1, sort_keys=True) + "\n").encode("utf-8")
            (work / STATE).write_bytes(text)
            for path in work.iterdir():
                sync_file(path)
            sync_folder(work)
            if target.exists():  # of the same step: a damaged, an undone or an unfinished one
                _remove(old)
                os.rename(str(target), str(old))
            os.rename(str(work), str(target))
        except BaseException:
            with contextlib.suppress(OSError):
                _remove(work)
            raise
        sync_folder(self.folder)
        _remove(old)
        self.mark_best(dict(state.get("best") or NOTHING_BEST)["step"])
        self._drop_old(target)
        return target, hashlib.sha256(text).hexdigest()

    def mark_best(self, step: int) -> None:
        """Makes `best` point to the checkpoint of a step, where there is that one."""
        if not self.at(step).is_dir():
            return
        self._link(BEST, self.at(step).name)
        if self.weights_file:
            self._link(BEST + Path(self.weights_file).suffix, os.path.join(BEST, self.weights_file))

    def _link(self, name: str, target: str) -> None:
        link, coming = self.folder / name, self.folder / (TEMPORARY_PREFIX + name)
        if link.is_symlink() and os.readlink(str(link)) == target:
            return
        _remove(coming)
        os.symlink(target, str(coming))
        os.replace(str(coming), str(link))
        sync_folder(self.folder)

    def _drop_old(self, newest: Path) -> None:
        """Removes the oldest checkpoints, but what is best to one from which training may go on."""
        own = [path for path in self.all() if path.name <= newest.name]
        needed = set(own[-self.keep :])
        for path in own[-self.keep :]:
            with contextlib.suppress(ZooError, KeyError, TypeError):
                needed.add(self.at(int(read_state(path)["best"]["step"])))
        for path in own:
            if path not in needed:
                # Renamed first: what is half removed would pass for damaged.
                going = self.folder / f"{TEMPORARY_PREFIX}dropped_{path.name}"
                os.rename(str(path), str(going))
                _remove(going)

    def all(self) -> List[Path]:
        """All checkpoints by step, whole or not."""
        return sorted(path for path in self.folder.glob("step_*") if path.is_dir())

    def newest(self, say: Callable[[str], None] = print) -> Optional[Path]:
        """The newest checkpoint that is whole; None where there is none.

        Args:
            say: is told of every damaged one that is passed over.
        """
        for path in reversed(self.all()):
            if is_whole(path):
                return path
            say(f"checkpoint {path} is damaged: going on with the newest whole one")
        return None

    def best(self) -> Optional[Path]:
        """The checkpoint that was best on validation; None where there is none."""
        link = self.folder / BEST
        return link.resolve() if link.is_dir() else None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(str(path))
    elif path.is_symlink() or path.exists():
        path.unlink()


# --- reading ---------------------------------------------------------------------------------


def is_whole(path: Path) -> bool:
    """Whether every file of a checkpoint has the checksum that its state.json gives."""
    try:
        files = read_state(path)["files"]
        return bool(files) and all(
            sha256_of(Path(path) / name) == digest for name, digest in files.items()
        )
    except (ZooError, OSError, KeyError, AttributeError, TypeError):
        return False


def read_state(path: Path) -> Dict[str, Any]:
    """The content of a checkpoint's state.json.

    Raises:
        ZooError: missing, not JSON, of another program, or of a newer version.
    """
    try:
        content = json.loads((Path(path) / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ZooError(
            f"{path} is no checkpoint of training, or damaged: {STATE} can't be read as JSON "
            f"({first_line(error)})"
        ) from error
    if not isinstance(content, dict) or content.get("format") not in FORMATS:
        raise ZooError(
            f"{path} is no checkpoint of training here: its {STATE} is of another program"
        )
    if not isinstance(content.get("version"), int) or content["version"] > VERSION:
        raise ZooError(
            f"checkpoint {path} was written by a newer version (format {content.get('version')}, "
            f"known here: up to {VERSION}); update this checkout"
        )
    return content


def require_same(there: Mapping[str, Any], path: Path, here: Mapping[str, Any]) -> None:
    """Raises ZooError where a checkpoint says something else of what must agree.

    What it does not say, one of an older layout, agrees.
    """
    for name, value in here.items():
        if not _agree(there.get(name, value), value):
            raise ZooError(
                f"checkpoint {path} has {name} {there[name]!r}, this run {value!r}; "
                "give the flags it was made with, or another --output_path"
            )


def _agree(there: Any, here: Any) -> bool:
    if isinstance(there, dict) and isinstance(here, dict):
        return all(_agree(there[name], here[name]) for name in set(there) & set(here))
    return bool(there == here)


def find_checkpoint(path: Path) -> Path:
    """The checkpoint that a user's path means, checked to be whole.

    Args:
        path: a checkpoint; a folder of checkpoints (or a run folder with ckpt/), of which the
            best is taken, else the newest whole one; or one of the files in a checkpoint.

    Raises:
        ZooError: nothing is there, or it is truncated or altered.
    """
    path = Path(path)
    if path.is_file() or Path(str(path) + ".index").is_file():
        path = path.parent
    for folder in (CheckpointFolder(path / CHECKPOINTS), CheckpointFolder(path)):
        best = folder.best()
        if best is not None:
            path = best
            break
        newest = folder.newest()
        if newest is not None:
            return newest  # was looked at already
    read_state(path)
    if not is_whole(path):
        raise ZooError(
            f"checkpoint {path} does not have the checksums that its {STATE} gives: it is "
            "truncated or altered; take another one"
        )
    return path
