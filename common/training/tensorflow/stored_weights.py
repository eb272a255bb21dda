"""Weights of a network out of a checkpoint, of a run here or of another program, or packed."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence

from common.core.errors import ZooError, first_line
from common.training.checkpoints import STATE, find_checkpoint, read_state
from common.training.packed_weights import SUFFIX
from common.training.tensorflow.packed_weights import PackedWeights
from common.training.tensorflow.runtime import tf
from common.training.tensorflow.weights import PREFIX, plain_path

Shapes = Mapping[str, Sequence[int]]
OWN = "network/{}/.ATTRIBUTES/VARIABLE_VALUE"  # the key of a weight at an attribute path


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


def find_weights(path: str) -> FoundCheckpoint:
    """Finds a checkpoint below a path: a run folder, a checkpoint folder, a TensorFlow prefix.

    Packed weights (.npz) are one too.

    Raises:
        ZooError: there is none.
    """
    if path.endswith(SUFFIX):
        return FoundCheckpoint(path, PackedWeights(path).state)
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

    def __init__(self, prefix: str) -> None:
        """Opens a checkpoint.

        Raises:
            ZooError: it is not there, or damaged.
        """
        self.prefix = prefix
        try:
            self._way = contextlib.ExitStack()  # open as long as the reader is
            self._reader = (
                PackedWeights(prefix)
                if prefix.endswith(SUFFIX)
                else tf.train.load_checkpoint(self._way.enter_context(plain_path(Path(prefix))))
            )
            self.shapes: Shapes = dict(self._reader.get_variable_to_shape_map())
        except (tf.errors.OpError, ValueError, IndexError) as error:
            raise self._unreadable(error) from error

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
                raise ZooError(
                    "checkpoint {} has {} as {}, this network as {}: {}".format(
                        self.prefix,
                        key,
                        list(there) if there is not None else "nothing",
                        here,
                        advice,
                    )
                )
        try:
            values = {key: self._reader.get_tensor(key) for key in weights}
        except (tf.errors.OpError, ValueError, IndexError) as error:
            raise self._unreadable(error) from error
        session.run([weight.assign(values[key]) for key, weight in weights.items()])

    def _unreadable(self, error: Exception) -> ZooError:
        return ZooError(
            f"checkpoint {self.prefix} can't be read: {first_line(error)}; check the "
            "path, or take another one"
        )
