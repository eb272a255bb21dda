"""The weights of this network in checkpoints: of runs in either framework, and the reference's.

The reference saves with tf.train.Saver, by the names that its layers got: the convolutions of
block j in stage i are resnetblock2ij and resnetblock3ij, of its shortcut resnetblock4ij.
"""

from __future__ import annotations

import re
from typing import Dict, Optional

import numpy as np

from common.core.errors import ZooError
from common.training.stored_weights import OWN, FoundCheckpoint, Shapes, StoredWeights

_REFERENCE_MARK = "CNN_encoder/dense/kernel"
_PARTS = {
    "representation": "CNN_encoder/dense",
    "representation_norm": "CNN_encoder/LayerNorm",
    "key": "CNN_encoder/dense_1",
    "query": "CNN_encoder/dense_2",
    "value": "CNN_encoder/dense_3",
    "value_norm": "CNN_encoder/LayerNorm_1",
    "classifier": "Classify/dense",
}
_LAYER = re.compile(r"encoder/(?:entry|stage(\d)_block(\d)/(first|second|shortcut))(_norm)?$")
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
    found = _LAYER.match(place)
    if found is None:
        return None
    stage, block, convolution, norm = found.groups()
    number = f"{_NUMBER[convolution]}{stage}{block}" if convolution else 1
    kind = "batch_normalization" if norm else "conv2d"
    return f"CNN_encoder/resnetblock{number}/{kind}/{weight}"


def stored_weights(
    found: FoundCheckpoint, shapes: Shapes, encoder_alone: bool = False
) -> Dict[str, np.ndarray]:
    """A checkpoint's weights by attribute path, in Keras's layout.

    Args:
        shapes: the network's own, by path.
        encoder_alone: leaves out what is behind the encoder.

    Raises:
        ZooError: damaged, of another model, or of a network of other sizes.
    """
    stored = StoredWeights(found.prefix)
    if OWN.format("representation/kernel") in stored.shapes:
        key = OWN.format
    elif _REFERENCE_MARK in stored.shapes:

        def key(path: str) -> str:
            return reference_name(path) or OWN.format(path)
    else:
        raise ZooError(
            f"checkpoint {found.prefix} holds no ProtoAttend network: give one that a training of "
            "this network wrote, or the reference's main_protoattend.py"
        )
    part = "encoder/" if encoder_alone else ""
    keys = {path: key(path) for path in shapes if path.startswith(part)}
    values = stored.values({keys[path]: shapes[path] for path in keys}, _ADVICE)
    return {path: values[keys[path]] for path in keys}
