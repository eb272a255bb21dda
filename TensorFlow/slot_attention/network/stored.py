"""Where both tasks' weights are in checkpoints of this project's runs, and in the reference's.

The reference saves tf.train.Checkpoint(network=model), where the model's only layer with weights
is the autoencoder or the classifier: "network/layer_with_weights-0/…".
"""

from __future__ import annotations

from typing import Callable

from common.core.errors import ZooError
from common.training.stored_weights import OWN, StoredWeights, path_of_key

_REFERENCE = "layer_with_weights-0/"
_TASK_OF_PART = {"decoder_cnn/": "object_discovery", "mlp_classifier/": "set_prediction"}
ADVICE = (
    "give the flags it was trained with (--architecture, --resolution, --num_slots, "
    "--initial_slots)"
)


def key_in(stored: StoredWeights, task: str) -> Callable[[str], str]:
    """From a weight's attribute path to its key in a checkpoint.

    Raises:
        ZooError: it is of the other task, or of another network.
    """
    paths = [path for path in map(path_of_key, stored.shapes) if path is not None]

    def holds(start: str) -> bool:
        return any(path.startswith(start) for path in paths)

    base = _REFERENCE if holds(_REFERENCE + "slot_attention/") else ""
    if not holds(base + "slot_attention/"):
        raise ZooError(
            f"checkpoint {stored.prefix} holds no Slot Attention network: give one that a training "
            "of this network wrote"
        )
    for part, owner in _TASK_OF_PART.items():
        if owner != task and holds(base + part):
            raise ZooError(
                f"checkpoint {stored.prefix} is of {owner}, not of {task}: use "
                f"slot_attention.{owner}"
            )

    def key(path: str) -> str:
        """TensorFlow 1.15 counts the layers of a Sequential under another name."""
        usual = OWN.format(base + path)
        known = usual in stored.shapes
        return usual if known else usual.replace("layer_with_weights-", "layer-")

    return key
