"""Weights from checkpoints: of this project's runs, and published ones of the reference.

The reference saves tf.train.Checkpoint(network=model), where the model's only layer with weights
is the autoencoder or the classifier: "network/layer_with_weights-0/…".
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Dict, Optional

from common.errors import ZooError
from common.tf_runtime import tf
from common.tf_training.checkpoint import find_checkpoint, read_state
from slot_attention.network.weights import named_weights

_ENDING = "/.ATTRIBUTES/VARIABLE_VALUE"
_OWN, _REFERENCE = "network/", "network/layer_with_weights-0/"
_TASK_OF_PART = {"decoder_cnn/": "object_discovery", "mlp_classifier/": "set_prediction"}


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

    Raises:
        ZooError: there is none.
    """
    foreign = _foreign_prefix(Path(path))
    if foreign is not None:
        return FoundCheckpoint(foreign, {})
    folder = find_checkpoint(Path(path))
    return FoundCheckpoint(str(folder / "weights"), read_state(folder))


def _foreign_prefix(path: Path) -> Optional[str]:
    """The prefix of a checkpoint without state.json, as tf.train.Checkpoint writes them."""
    if path.is_dir() and (path / "checkpoint").is_file():
        newest = tf.train.latest_checkpoint(str(path))
        if newest is not None:
            return newest
    prefix = str(path)[:-len(".index")] if path.name.endswith(".index") else str(path)
    if Path(prefix + ".index").is_file() and not (path.parent / "state.json").exists():
        return prefix
    return None


def load_weights(session: Any, network: Any, found: FoundCheckpoint, task: str) -> None:
    """Puts a checkpoint's weights into a network whose variables are built.

    Raises:
        ZooError: damaged, of the other task, or of a network of other sizes.
    """
    try:
        reader = tf.train.load_checkpoint(found.prefix)
        shapes = reader.get_variable_to_shape_map()
        base = _base_of(shapes, found.prefix)
        _require_task(shapes, base, found.prefix, task)
        weights = {_key(shapes, base, path): weight
                   for path, weight in named_weights(network).items()}
        _require_shapes(weights, shapes, found.prefix)
        session.run([weight.assign(reader.get_tensor(key)) for key, weight in weights.items()])
    except (tf.errors.OpError, ValueError, IndexError) as error:
        raise ZooError("checkpoint {} can't be read: {}".format(
            found.prefix, str(error).splitlines()[0])) from error


def _base_of(shapes: Dict[str, Any], prefix: str) -> str:
    for base in (_REFERENCE, _OWN):
        if any(name.startswith(base + "slot_attention/") for name in shapes):
            return base
    raise ZooError("checkpoint {} holds no Slot Attention network: give one that a training of "
                   "this network wrote".format(prefix))


def _require_task(shapes: Dict[str, Any], base: str, prefix: str, task: str) -> None:
    for part, owner in _TASK_OF_PART.items():
        if owner != task and any(name.startswith(base + part) for name in shapes):
            raise ZooError("checkpoint {} is of {}, not of {}: use slot_attention.{}".format(
                prefix, owner, task, owner))


def _key(shapes: Dict[str, Any], base: str, path: str) -> str:
    """The key of a weight; TensorFlow 1.15 counts the layers of a Sequential under another name."""
    key = base + path + _ENDING
    return key if key in shapes else key.replace("layer_with_weights-", "layer-")


def _require_shapes(weights: Dict[str, Any], shapes: Dict[str, Any], prefix: str) -> None:
    for key, weight in weights.items():
        there, here = shapes.get(key), weight.shape.as_list()
        if there is None or list(there) != here:
            raise ZooError("checkpoint {} has {} as {}, this network as {}: give the flags it was "
                           "trained with (--architecture, --resolution, --num_slots, "
                           "--initial_slots)".format(prefix, key, there or "nothing", here))
