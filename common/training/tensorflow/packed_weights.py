"""Trained weights in one file: arrays by attribute path and what their run said, without pickle.

    python -m common.training.tensorflow.packed_weights RUN_FOLDER weights/NAME.npz

writes what evaluation takes for --checkpoint.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from common.core.errors import ZooError, first_line
from common.core.files import write_atomically

SUFFIX = ".npz"
STATE = "state"  # JSON as bytes: what the checkpoint's state.json says of the network and its run
_KEPT = ("model", "task", "network", "config", "step", "seed")
_BEGIN, _END = "network/", "/.ATTRIBUTES/VARIABLE_VALUE"


class PackedWeights:
    """One such file, read as TensorFlow's checkpoint reader is."""

    def __init__(self, path: str) -> None:
        """Reads everything.

        Raises:
            ZooError: not there, damaged, or without a state.
        """
        self._arrays: Dict[str, np.ndarray] = {}
        try:
            with np.load(path, allow_pickle=False) as packed:
                found = {name: packed[name] for name in packed.files}
            self.state: Dict[str, Any] = json.loads(bytes(found.pop(STATE)).decode("utf-8"))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ZooError(
                f"packed weights {path} can't be read: {first_line(error)}; take them anew from "
                "the repository or a training"
            ) from error
        self._arrays = {_BEGIN + name + _END: value for name, value in found.items()}

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
    text = json.dumps(state, sort_keys=True).encode("utf-8")
    content = io.BytesIO()
    arrays[STATE] = np.frombuffer(text, np.uint8)
    np.savez_compressed(content, **arrays)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, content.getvalue())
    return len(content.getvalue())


def main(argv: Optional[List[str]] = None) -> int:
    """Packs the checkpoint of the command line."""
    path, target = argv if argv is not None else sys.argv[1:]
    print(f"{target}: {pack(path, Path(target)):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
