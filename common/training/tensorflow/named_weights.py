"""The weights of a network by attribute path, as object-based checkpoints name them."""

from __future__ import annotations

from typing import Dict, Iterator, Tuple

from common.training.tensorflow.runtime import tf


def named_weights(layer: tf.keras.layers.Layer) -> Dict[str, tf.Variable]:
    """The weights below a layer by attribute path: "slot_attention/gru/kernel".

    In a Sequential the path counts the layers that have weights: "mlp/layer_with_weights-0/bias",
    as in the reference's checkpoints.
    """
    found: Dict[str, tf.Variable] = {}
    for name, part in _parts(layer):
        for path, weight in named_weights(part).items():
            found[f"{name}/{path}"] = weight
    # tf.Variable is no common base of the variables of all versions: identity tells.
    own = {id(weight) for weight in layer.weights}
    for name, value in vars(layer).items():
        if id(value) in own and not name.startswith("_"):
            found[name] = value
    return found


def _parts(layer: tf.keras.layers.Layer) -> Iterator[Tuple[str, tf.keras.layers.Layer]]:
    if isinstance(layer, tf.keras.Sequential):
        with_weights = [part for part in layer.layers if part.weights]
        for index, part in enumerate(with_weights):
            yield f"layer_with_weights-{index}", part
        return
    for name, value in vars(layer).items():
        if isinstance(value, tf.keras.layers.Layer) and not name.startswith("_"):
            yield name, value
