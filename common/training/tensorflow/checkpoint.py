"""Checkpoints: everything a run needs to go on as if it had never stopped, one folder each.

<folder>/step_00001000/weights.index, weights.data-…   all variables, by attribute path
                      /state.json                      everything else, and all checksums
<folder>/best -> step_00000800                         the best on validation, if any
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from common.core.errors import InfrastructureError, ZooError, first_line
from common.core.files import TEMPORARY_PREFIX, sha256_of, sync_file, sync_folder
from common.training.tensorflow.runtime import tf

FORMAT = "tensorflow.training"
VERSION = 1
CHECKPOINTS = "ckpt"  # below a run folder
BEST = "best"
STATE = "state.json"
PREFIX = "weights"


@dataclasses.dataclass(frozen=True)
class Saved:
    """A checkpoint that is whole on the disk; sha256 is that of its state.json."""

    path: Path
    step: int
    sha256: str


class CheckpointFolder:
    """The checkpoints of one run: the last good ones, and the best on validation."""

    def __init__(self, folder: Path, keep: int = 3) -> None:
        self.folder = Path(folder)
        self.keep = keep

    def prepare(self) -> None:
        """Makes the folder, and clears what a killed process left half-written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob(TEMPORARY_PREFIX + "*"):
            _remove(left)

    def save(
        self, step: int, state: Mapping[str, Any], write_weights: Callable[[str], object]
    ) -> Saved:
        """Writes `step_<step>` whole or not at all, then drops the oldest ones.

        Args:
            state: what state.json is to hold; checksums and version are added.
            write_weights: writes files that begin with the prefix it is given.

        Raises:
            InfrastructureError: the disk is full or read-only.
        """
        target = self.folder / f"step_{step:08d}"
        work = self.folder / f"{TEMPORARY_PREFIX}{target.name}"
        _remove(work)
        work.mkdir()
        try:
            write_weights(str(work / PREFIX))
            saved = _seal(work, target, step, state)
        except tf.errors.OpError as error:
            _remove(work)
            raise InfrastructureError(
                f"checkpoint {target} can't be written: {first_line(error)}; free space or give "
                "another --output_path"
            ) from error
        except BaseException:
            _remove(work)
            raise
        self._put_in_place(work, target)
        self._drop_old()
        return saved

    def _put_in_place(self, work: Path, target: Path) -> None:
        if target.exists():
            # Only a damaged one, or one of a life that was undone, can be in the way.
            old = self.folder / f"{TEMPORARY_PREFIX}old_{target.name}"
            os.rename(str(target), str(old))
            os.rename(str(work), str(target))
            _remove(old)
        else:
            os.rename(str(work), str(target))
        sync_folder(self.folder)

    def mark_best(self, saved: Saved) -> None:
        """Makes `best` point to a checkpoint, which is then kept."""
        link = self.folder / (TEMPORARY_PREFIX + BEST)
        _remove(link)
        os.symlink(saved.path.name, str(link))
        os.replace(str(link), str(self.folder / BEST))
        sync_folder(self.folder)
        self._drop_old()

    def _drop_old(self) -> None:
        best = self.best()
        for old in self.all()[: -self.keep]:
            if best is None or old.name != best.name:
                _remove(old)

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
        return link.resolve() if link.exists() else None


def _seal(work: Path, target: Path, step: int, state: Mapping[str, Any]) -> Saved:
    files = {path.name: sha256_of(path) for path in sorted(work.iterdir())}
    content = dict(state, format=FORMAT, version=VERSION, step=step, files=files)
    text = (json.dumps(content, indent=1, sort_keys=True) + "\n").encode("utf-8")
    (work / STATE).write_bytes(text)
    for path in work.iterdir():
        sync_file(path)
    sync_folder(work)
    return Saved(target, step, hashlib.sha256(text).hexdigest())


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
    file = Path(path) / STATE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ZooError(
            f"{path} is no checkpoint of training: {STATE} can't be read ({error.strerror})"
        ) from error
    except ValueError as error:
        raise ZooError(
            f"checkpoint {path} is damaged: {STATE} is not JSON; take another one"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ZooError(
            f"{path} is no checkpoint of training here: its {STATE} is of another program"
        )
    if not isinstance(content.get("version"), int) or content["version"] > VERSION:
        raise ZooError(
            "checkpoint {} was written by a newer version (format {}, known here: up "
            "to {}); update this checkout".format(path, content.get("version"), VERSION)
        )
    return content


def require_same(state: Mapping[str, Any], path: Path, **wanted: Any) -> None:
    """Raises ZooError when a checkpoint is of another model, task or network."""
    for name, value in wanted.items():
        if state.get(name) != value:
            raise ZooError(
                f"checkpoint {path} has {name} {state.get(name)!r}, this run {value!r}; "
                "give the flags it was made "
                "with, or another --output_path"
            )


def find_checkpoint(path: Path) -> Path:
    """The checkpoint that a user's path means.

    Args:
        path: a checkpoint; a folder of checkpoints (or a run folder with ckpt/), of which the
            best is taken, else the newest whole one; or one of the files in a checkpoint.

    Returns:
        The checkpoint's folder, checked to be whole.

    Raises:
        ZooError: nothing is there, or it is truncated or altered.
    """
    path = Path(path)
    if path.is_file() or Path(str(path) + ".index").is_file():
        path = path.parent
    for folder in (path / CHECKPOINTS, path):
        found = CheckpointFolder(folder).best() or CheckpointFolder(folder).newest()
        if found is not None:
            path = found
            break
    read_state(path)
    if not is_whole(path):
        raise ZooError(
            f"checkpoint {path} does not have the checksums that its {STATE} gives: it is "
            "truncated or altered; take another one"
        )
    return path


# --- variables -------------------------------------------------------------------------------


class Variables:
    """All global variables of the default graph, saved by attribute path where they have one.

    The network is `network`, the step `global_step`, as in tf.train.Checkpoint(network=…,
    global_step=…); all others (the optimizer's, the loss scale…) are in `training` by name.
    Make it when the graph is complete and before variables are initialised.
    """

    def __init__(self, network: Any, global_step: Any) -> None:
        known = {id(variable) for variable in network.variables} | {id(global_step)}
        others = {
            variable.op.name: variable
            for variable in tf.global_variables()
            if id(variable) not in known
        }
        self._checkpoint = tf.train.Checkpoint(
            network=network, global_step=global_step, training=tf.train.Checkpoint(**others)
        )
        # Made now: restoring would make it later, after everything has been initialised.
        self._counter = self._checkpoint.save_counter
        self._checked = False

    def described(self) -> Dict[str, List[Any]]:
        """Name, shape and type of every variable."""
        return {
            variable.op.name: [variable.shape.as_list(), variable.dtype.base_dtype.name]
            for variable in tf.global_variables()
        }

    def write(self, session: Any, prefix: str) -> None:
        """Writes all variables to files that begin with `prefix`."""
        self._checkpoint.write(prefix, session=session)
        if not self._checked:
            _check_all_saved(prefix, len(tf.global_variables()))
            self._checked = True

    def restore(self, session: Any, path: Path, state: Mapping[str, Any]) -> None:
        """Restores every variable; run no initialiser of global variables before or after.

        Raises:
            ZooError: the checkpoint is of another network or another optimizer.
        """
        _require_same_variables(state.get("variables", {}), self.described(), path)
        status = self._checkpoint.restore(str(Path(path) / PREFIX))
        status.assert_existing_objects_matched()
        status.run_restore_ops(session)

    @property
    def global_variables(self) -> Sequence[Any]:
        """What write and restore cover."""
        return list(tf.global_variables())


def _check_all_saved(prefix: str, count: int) -> None:
    saved = [
        name
        for name, _ in tf.train.list_variables(prefix)
        if name.endswith("/.ATTRIBUTES/VARIABLE_VALUE")
    ]
    if len(saved) != count:
        raise RuntimeError(
            f"{len(saved)} of {count} variables are reachable from the network's attributes; a "
            "checkpoint would lose the others"
        )


def _require_same_variables(there: Mapping[str, Any], here: Mapping[str, Any], path: Path) -> None:
    for name in sorted(set(there) | set(here)):
        if there.get(name) != here.get(name):
            raise ZooError(
                f"checkpoint {path} has variable {name} as {_shown(there.get(name))}, "
                f"this run as {_shown(here.get(name))}; give the flags "
                "it was made with, or another --output_path"
            )


def _shown(described: Optional[Sequence[Any]]) -> str:
    return "nothing" if described is None else f"{described[1]} {described[0]}"
