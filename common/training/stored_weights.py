"""Weights of a network out of a checkpoint: of a run of either framework, of TensorFlow, or packed.

    python -m common.training.stored_weights RUN_FOLDER weights/NAME.npz

packs a checkpoint: arrays by attribute path, floats in 16 bits, and what their run said, without
pickle, in one file that evaluation takes for --checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence, Tuple

import numpy as np

from common.core.command_line import Parser, run_program
from common.core.errors import ZooError, first_line
from common.core.files import write_atomically
from common.training.checkpoints import STATE, find_checkpoint, read_state
from common.training.exchange import from_torch
from common.training.tensor_bundle import TensorBundle
from common.training.torch_arrays import read_torch_file

SUFFIX = ".npz"  # of packed weights: arrays by name and what their run said
PACKED_STATE = "state"  # JSON as bytes
Shapes = Mapping[str, Sequence[int]]
Weights = Tuple[Mapping[str, Any], Mapping[str, np.ndarray]]  # what the run said, arrays by name
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
    if path.endswith(SUFFIX):
        return FoundCheckpoint(path, read_packed(Path(path))[0])
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
        if Path(prefix).suffix in (SUFFIX, Path(TORCH_FILE).suffix):
            if prefix.endswith(SUFFIX):
                found = read_packed(Path(prefix))[1]
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


# --- packed ----------------------------------------------------------------------------------


def read_packed(path: Path) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """What the run said, and the arrays by name, those of 16 bits as float32.

    Raises:
        ZooError: not there, damaged, or without a state.
    """
    try:
        with np.load(str(path), allow_pickle=False) as packed:
            arrays = {name: _widened(packed[name]) for name in packed}
        state = json.loads(bytes(arrays.pop(PACKED_STATE)).decode("utf-8"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ZooError(
            f"packed weights {path} can't be read: {first_line(error)}; take them anew from "
            "the repository or a training"
        ) from error
    return dict(state), arrays


def write_packed(target: Path, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> int:
    """Writes such a file or nothing, float32 in 16 bits where it fits; returns its bytes."""
    text = json.dumps(state, sort_keys=True).encode("utf-8")
    content = io.BytesIO()
    everything: Dict[str, Any] = {name: _halved(value) for name, value in arrays.items()}
    everything[PACKED_STATE] = np.frombuffer(text, np.uint8)
    np.savez_compressed(content, **everything)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, content.getvalue())
    return len(content.getvalue())


def _halved(values: np.ndarray) -> np.ndarray:
    largest = np.finfo(np.float16).max  # what is larger would become infinite
    fits = values.dtype == np.float32 and np.abs(values).max(initial=0) <= largest
    return values.astype(np.float16) if fits else values


def _widened(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32) if values.dtype == np.float16 else values


def pack_as_asked(weights_at: Callable[[str], Weights], argv: Optional[Sequence[str]]) -> int:
    """Packs what a framework finds at the path of the command line; returns 0.

    Args:
        weights_at: from a path to what is packed.
    """
    parser = Parser(description="Packs trained weights in one file, which --checkpoint takes.")
    parser.add_argument("path", help="a run folder, or a checkpoint in it")
    parser.add_argument("target", help=f"the file to write, NAME{SUFFIX}")
    asked = parser.parse_args(argv)
    size = write_packed(Path(asked.target), *weights_at(asked.path))
    print(f"{asked.target}: {size:,} bytes")
    return 0


def to_pack(path: str) -> Weights:
    """What is packed of a checkpoint, with find_weights' path."""
    found = find_weights(path)
    state = {name: found.state[name] for name in _KEPT if name in found.state}
    return state, StoredWeights(found.prefix).arrays()


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Packs the checkpoint of the command line."""
    return pack_as_asked(to_pack, argv)


if __name__ == "__main__":
    run_program(main)
