"""Weights of a network out of a checkpoint, of a run here or of another program, or packed.

    python -m common.training.tensorflow.stored_weights RUN_FOLDER weights/NAME.npz

packs a checkpoint: arrays by attribute path and what their run said, without pickle, in one file
that evaluation takes for --checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence

import numpy as np

from common.core.command_line import run_program
from common.core.errors import ZooError, first_line
from common.training import packed_weights
from common.training.checkpoints import STATE, find_checkpoint, read_state
from common.training.tensorflow.runtime import tf
from common.training.tensorflow.weights import OWN, PREFIX, path_of_key, plain_path

Shapes = Mapping[str, Sequence[int]]
_KEPT = ("model", "task", "network", "config", "step", "seed")


@dataclasses.dataclass(frozen=True)
class FoundCheckpoint:
    """A checkpoint that was found: the prefix of its files, and what its run said of it.

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
    return FoundCheckpoint(str(folder / PREFIX), read_state(folder))


def _foreign_prefix(path: Path) -> Optional[str]:
    """The prefix of a checkpoint without state.json, as TensorFlow alone writes them."""
    if path.is_dir() and (path / "checkpoint").is_file():
        newest = tf.train.latest_checkpoint(str(path))
        if newest is not None:
            return str(newest)
    prefix = str(path)[: -len(".index")] if path.name.endswith(".index") else str(path)
    if Path(prefix + ".index").is_file() and not (path.parent / STATE).exists():
        return prefix
    return None


class StoredWeights:
    """The variables of one checkpoint, by key."""

    shapes: Shapes
    _get: Callable[[str], np.ndarray]

    def __init__(self, prefix: str) -> None:
        """Opens a checkpoint.

        Raises:
            ZooError: it is not there, or damaged.
        """
        self.prefix = prefix
        if prefix.endswith(packed_weights.SUFFIX):
            found = packed_weights.read(Path(prefix))[1]
            arrays = {OWN.format(path): value for path, value in found.items()}
            self.shapes = {key: list(value.shape) for key, value in arrays.items()}
            self._get = arrays.__getitem__
            return
        self._way = contextlib.ExitStack()  # open as long as the reader is
        with _told(prefix):
            reader = tf.train.load_checkpoint(self._way.enter_context(plain_path(Path(prefix))))
            self.shapes, self._get = dict(reader.get_variable_to_shape_map()), reader.get_tensor

    def load(self, session: Any, weights: Mapping[str, Any], advice: str) -> None:
        """Gives variables the stored values.

        Args:
            weights: variables by the key of what they are to get.
            advice: what to do where a key is missing or of another shape: "give the flags …".

        Raises:
            ZooError: a key is missing, of another shape, or can't be read.
        """
        for key, weight in weights.items():
            there, here = self.shapes.get(key), weight.shape.as_list()
            if there is None or list(there) != here:
                stored = "nothing" if there is None else list(there)
                raise ZooError(
                    f"checkpoint {self.prefix} has {key} as {stored}, this network as {here}: "
                    f"{advice}"
                )
        with _told(self.prefix):
            values = {key: self._get(key) for key in weights}
        session.run([weight.assign(values[key]) for key, weight in weights.items()])

    def arrays(self) -> Dict[str, np.ndarray]:
        """The network's weights by attribute path, without what optimizers keep."""
        paths = {key: path_of_key(key) for key in sorted(self.shapes)}
        with _told(self.prefix):
            return {path: self._get(key) for key, path in paths.items() if path is not None}


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """Turns what is raised of a missing or damaged file into one line."""
    try:
        yield
    except (tf.errors.OpError, ValueError, IndexError) as error:
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
