"""The weights of both tasks in checkpoints of this project's runs, and in the reference's.

The reference saves tf.train.Checkpoint(network=model), where the model's only layer with weights
is the autoencoder or the classifier: "network/layer_with_weights-0/…".
"""

from __future__ import annotations

from typing import Any

from common.core.errors import ZooError
from common.training.tensorflow.stored_weights import FoundCheckpoint, Shapes, StoredWeights
from common.training.tensorflow.weights import named_weights

_ENDING = "/.ATTRIBUTES/VARIABLE_VALUE"
_OWN, _REFERENCE = "network/", "network/layer_with_weights-0/"
_TASK_OF_PART = {"decoder_cnn/": "object_discovery", "mlp_classifier/": "set_prediction"}
_ADVICE = (
    "give the flags it was trained with (--architecture, --resolution, --num_slots, "
    "--initial_slots)"
)


def load_weights(session: Any, network: Any, found: FoundCheckpoint, task: str) -> None:
    """Puts a checkpoint's weights into a network whose variables are built.

    Raises:
        ZooError: damaged, of the other task, or of a network of other sizes.
    """
    stored = StoredWeights(found.prefix)
    base = _base_of(stored.shapes, found.prefix)
    _require_task(stored.shapes, base, found.prefix, task)
    stored.load(
        session,
        {
            _key(stored.shapes, base, path): weight
            for path, weight in named_weights(network).items()
        },
        _ADVICE,
    )


def _base_of(shapes: Shapes, prefix: str) -> str:
    for base in (_REFERENCE, _OWN):
        if any(name.startswith(base + "slot_attention/") for name in shapes):
            return base
    raise ZooError(
        f"checkpoint {prefix} holds no Slot Attention network: give one that a training of "
        "this network wrote"
    )


def _require_task(shapes: Shapes, base: str, prefix: str, task: str) -> None:
    for part, owner in _TASK_OF_PART.items():
        if owner != task and any(name.startswith(base + part) for name in shapes):
            raise ZooError(
                f"checkpoint {prefix} is of {owner}, not of {task}: use slot_attention.{owner}"
            )


def _key(shapes: Shapes, base: str, path: str) -> str:
    """The key of a weight; TensorFlow 1.15 counts the layers of a Sequential under another name."""
    key = base + path + _ENDING
    return key if key in shapes else key.replace("layer_with_weights-", "layer-")
