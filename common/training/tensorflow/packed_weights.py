"""Trained weights in one file: arrays by attribute path and what their run said, without pickle.

    python -m common.training.tensorflow.packed_weights RUN_FOLDER weights/NAME.npz

writes what evaluation takes for --checkpoint.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from common.training import packed_weights

_KEPT = ("model", "task", "network", "config", "step", "seed")
_BEGIN, _END = "network/", "/.ATTRIBUTES/VARIABLE_VALUE"


class PackedWeights:
    """One such file, read as TensorFlow's checkpoint reader is."""

    def __init__(self, path: str) -> None:
        """Reads everything; ZooError as of packed_weights.read."""
        self.state, arrays = packed_weights.read(Path(path))
        self._arrays = {_BEGIN + name + _END: value for name, value in arrays.items()}

    def get_variable_to_shape_map(self) -> Mapping[str, Sequence[int]]:
        """The shape of every array by the key that a checkpoint would have it at."""
        return {name: list(value.shape) for name, value in self._arrays.items()}

    def get_tensor(self, key: str) -> np.ndarray:
        """The array at a checkpoint's key."""
        return self._arrays[key]


def pack(path: str, target: Path) -> int:
    """Packs the weights of a checkpoint, without what optimizers keep; returns the bytes written.

    Args:
        path: as for find_weights.
    """
    from common.training.tensorflow.runtime import tf
    from common.training.tensorflow.stored_weights import find_weights

    found = find_weights(path)
    reader = tf.train.load_checkpoint(found.prefix)
    arrays: Dict[str, Any] = {
        key[len(_BEGIN) : -len(_END)]: reader.get_tensor(key)
        for key in sorted(reader.get_variable_to_shape_map())
        if key.startswith(_BEGIN) and key.endswith(_END) and ".OPTIMIZER_SLOT" not in key
    }
    state = {name: found.state[name] for name in _KEPT if name in found.state}
    return packed_weights.write(target, state, arrays)


def main(argv: Optional[List[str]] = None) -> int:
    """Packs the checkpoint of the command line."""
    path, target = argv if argv is not None else sys.argv[1:]
    print(f"{target}: {pack(path, Path(target)):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
