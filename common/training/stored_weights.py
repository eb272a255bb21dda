"""Weights of a network out of a checkpoint: of a run of either framework, of TensorFlow, or packed.

    python -m common.training.stored_weights RUN_FOLDER weights/NAME.npz

packs a checkpoint: arrays by attribute path and what their run said, without pickle, in one file
that evaluation takes for --checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence

import numpy as np

from common.core.command_line import run_program
from common.core.errors import ZooError, first_line
from common.training import packed_weights
from common.training.checkpoints import STATE, find_checkpoint, read_state
from common.training.exchange import from_torch
from common.training.tensor_bundle import TensorBundle
from common.training.torch_arrays import read_torch_file

Shapes = Mapping[str, Sequence[int]]
PREFIX, TORCH_FILE = "weights", "weights.pt"  # of a checkpoint's files, by framework
OWN = "network/{}/.ATTRIBUTES/VARIABLE_VALUE"  # the key of a weight at an attribute path
_KEPT = ("model", "task", "network", "config", "step", "seed")
_NEWEST = re.compile(r'^model_checkpoint_path: "(.*)"', re.MULTILINE)
_DAMAGED = (
    OSError,
    ValueError,
    LookupError,
    StopIteration,
    EOFError,
    struct.error,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


@dataclasses.dataclass(frozen=True)
class FoundCheckpoint:
    """A checkpoint that was found: its file, or its files' prefix, and what its run said of it.

    state is empty for checkpoints that other programs wrote.
    """

    prefix: str
    state: Dict[str, Any]

    @property
    def step(self) -> int:
        """Optimizer steps behind the weights, 0 where that is not known."""
        return int(self.state.get("step", 0))

    @property
    def network(self) -> Dict[str, Any]:
        """What its run said of the network; ZooError where no run did."""
        if "network" not in self.state:
            raise ZooError(
                f"checkpoint {self.prefix} does not say what network it is of; evaluate it, with "
                "the flags that say it"
            )
        network: Dict[str, Any] = self.state["network"]
        return network


def find_weights(path: str) -> FoundCheckpoint:
    """Finds a checkpoint below a path: a run folder, a checkpoint folder, a TensorFlow prefix.

    Packed weights (.npz) are one too.

    Raises:
        ZooError: there is none, or it is damaged.
    """
    if path.endswith(packed_weights.SUFFIX):
        return FoundCheckpoint(path, packed_weights.read(Path(path))[0])
    foreign = _foreign_prefix(Path(path))
    if foreign is not None:
        return FoundCheckpoint(foreign, {})
    folder = find_checkpoint(Path(path))
    name = TORCH_FILE if (folder / TORCH_FILE).is_file() else PREFIX
    return FoundCheckpoint(str(folder / name), read_state(folder))


def _foreign_prefix(path: Path) -> Optional[str]:
    """The prefix of a checkpoint without state.json, as TensorFlow alone writes them."""
    if path.is_dir() and (path / "checkpoint").is_file():
        newest = _NEWEST.search((path / "checkpoint").read_text(encoding="utf-8"))
        if newest is not None and Path(f"{path / newest.group(1)}.index").is_file():
            return str(path / newest.group(1))
    prefix = str(path)[: -len(".index")] if path.name.endswith(".index") else str(path)
    if Path(prefix + ".index").is_file() and not (path.parent / STATE).exists():
        return prefix
    return None


class StoredWeights:
    """The variables of one checkpoint, by key; its shapes are Keras's in all of them."""

    shapes: Shapes
    _get: Callable[[str], np.ndarray]

    def __init__(self, prefix: str) -> None:
        """Opens a checkpoint.

        Raises:
            ZooError: it is not there, or damaged.
        """
        self.prefix = prefix
        if Path(prefix).suffix in (packed_weights.SUFFIX, Path(TORCH_FILE).suffix):
            if prefix.endswith(packed_weights.SUFFIX):
                found = packed_weights.read(Path(prefix))[1]
            else:
                with _told(prefix):
                    found = from_torch(read_torch_file(Path(prefix))["model"])
            arrays = {OWN.format(path): value for path, value in found.items()}
            self.shapes = {key: list(value.shape) for key, value in arrays.items()}
            self._get = arrays.__getitem__
            return
        with _told(prefix):
            bundle = TensorBundle(Path(prefix))
            self.shapes, self._get = bundle.shapes, bundle.get

    def values(self, wanted: Shapes, advice: str) -> Dict[str, np.ndarray]:
        """The stored values of some keys.

        Args:
            wanted: the shape of each.
            advice: what to do where a key is missing or of another shape: "give the flags …".

        Raises:
            ZooError: a key is missing, of another shape, or can't be read.
        """
        for key, shape in wanted.items():
            there, here = self.shapes.get(key), list(shape)
            if there is None or list(there) != here:
                stored = "nothing" if there is None else list(there)
                raise ZooError(
                    f"checkpoint {self.prefix} has {key} as {stored}, this network as {here}: "
                    f"{advice}"
                )
        with _told(self.prefix):
            return {key: self._get(key) for key in wanted}

    def arrays(self) -> Dict[str, np.ndarray]:
        """The network's weights by attribute path, without what optimizers keep."""
        paths = {key: path_of_key(key) for key in sorted(self.shapes)}
        with _told(self.prefix):
            return {path: self._get(key) for key, path in paths.items() if path is not None}


def path_of_key(key: str) -> Optional[str]:
    """The attribute path of the weight at a checkpoint's key; None for what is no weight."""
    begin, end = OWN.split("{}")
    if not (key.startswith(begin) and key.endswith(end)) or ".OPTIMIZER_SLOT" in key:
        return None
    return key[len(begin) : -len(end)]


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """Turns what is raised of a missing or damaged file into one line."""
    try:
        yield
    except _DAMAGED as error:
        raise ZooError(
            f"checkpoint {path} can't be read: {first_line(error)}; check the path, or take "
            "another one"
        ) from error


def to_pack(path: str) -> packed_weights.Weights:
    """What is packed of a checkpoint, with find_weights' path."""
    found = find_weights(path)
    state = {name: found.state[name] for name in _KEPT if name in found.state}
    return state, StoredWeights(found.prefix).arrays()


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Packs the checkpoint of the command line."""
    return packed_weights.pack_as_asked(to_pack, argv)


if __name__ == "__main__":
    run_program(main)
