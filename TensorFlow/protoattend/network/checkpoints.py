"""The weights of this network in checkpoints: of this project's runs, and the reference's.

The reference saves with tf.train.Saver, by the names that its layers got: the convolutions of
block j in stage i are resnetblock2ij and resnetblock3ij, of its shortcut resnetblock4ij.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional

from common.core.errors import ZooError
from common.training.tensorflow.named_weights import named_weights
from common.training.tensorflow.stored_weights import OWN, FoundCheckpoint, Shapes, StoredWeights

_REFERENCE_MARK = "CNN_encoder/dense/kernel"
_ENCODER = "encoder/"
_PARTS = {
    "representation": "CNN_encoder/dense",
    "representation_norm": "CNN_encoder/LayerNorm",
    "key": "CNN_encoder/dense_1",
    "query": "CNN_encoder/dense_2",
    "value": "CNN_encoder/dense_3",
    "value_norm": "CNN_encoder/LayerNorm_1",
    "classifier": "Classify/dense",
}
_BLOCK = re.compile(r"encoder/stage(\d)_block(\d)/(first|second|shortcut)(_norm)?$")
_NUMBER = {"first": 2, "second": 3, "shortcut": 4}
_ADVICE = (
    "give the flags it was trained with (--encoder, --img_size, --num_classes, "
    "--attention_dim, --val_dim, --final_units)"
)


def reference_name(path: str) -> Optional[str]:
    """The reference's name of the weight at an attribute path; None where it has no such weight."""
    place, _, weight = path.rpartition("/")
    if place in _PARTS:
        return f"{_PARTS[place]}/{weight}"
    if place in ("encoder/entry", "encoder/entry_norm"):
        return _layer(1, place.endswith("_norm"), weight)
    found = _BLOCK.match(place)
    if found is None:
        return None
    stage, block, convolution, norm = found.groups()
    return _layer(f"{_NUMBER[convolution]}{stage}{block}", norm is not None, weight)


def _layer(number: Any, is_norm: bool, weight: str) -> str:
    return "CNN_encoder/resnetblock{}/{}/{}".format(
        number, "batch_normalization" if is_norm else "conv2d", weight
    )


def load_weights(session: Any, network: Any, found: FoundCheckpoint) -> None:
    """Puts a checkpoint's weights into a network.

    Raises:
        ZooError: damaged, of another model, or of a network of other sizes.
    """
    _load(session, network, found, list(named_weights(network)))


def load_encoder(session: Any, network: Any, found: FoundCheckpoint) -> None:
    """Puts the encoder's weights alone into a network, to train the rest on them.

    Raises:
        ZooError: damaged, or without such an encoder.
    """
    _load(
        session,
        network,
        found,
        [path for path in named_weights(network) if path.startswith(_ENCODER)],
    )


def _load(session: Any, network: Any, found: FoundCheckpoint, paths: List[str]) -> None:
    stored, weights = StoredWeights(found.prefix), named_weights(network)
    keys = _keys(stored.shapes, found.prefix, paths)
    stored.load(session, {keys[path]: weights[path] for path in paths}, _ADVICE)


def _keys(shapes: Shapes, prefix: str, paths: List[str]) -> Dict[str, str]:
    """The key of each path: ours, or the reference's."""
    if OWN.format("representation/kernel") in shapes:
        return {path: OWN.format(path) for path in paths}
    if _REFERENCE_MARK in shapes:
        return {path: reference_name(path) or OWN.format(path) for path in paths}
    raise ZooError(
        f"checkpoint {prefix} holds no ProtoAttend network: give one that a training of this "
        "network wrote, or the reference's main_protoattend.py"
    )
