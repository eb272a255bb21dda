"""Trained weights in one file: arrays by name and what their run said, read without pickle."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

from common.core.command_line import Parser
from common.core.errors import ZooError, first_line
from common.core.files import write_atomically

SUFFIX = ".npz"
STATE = "state"  # JSON as bytes
Weights = Tuple[Mapping[str, Any], Mapping[str, np.ndarray]]  # what the run said, arrays by name


def read(path: Path) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """What the run said, and the arrays by name.

    Raises:
        ZooError: not there, damaged, or without a state.
    """
    try:
        with np.load(str(path), allow_pickle=False) as packed:
            arrays = {name: packed[name] for name in packed.files}
        state = json.loads(bytes(arrays.pop(STATE)).decode("utf-8"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ZooError(
            f"packed weights {path} can't be read: {first_line(error)}; take them anew from "
            "the repository or a training"
        ) from error
    return dict(state), arrays


def write(target: Path, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> int:
    """Writes such a file, whole or not at all; returns its bytes."""
    text = json.dumps(state, sort_keys=True).encode("utf-8")
    content = io.BytesIO()
    everything: Dict[str, Any] = {STATE: np.frombuffer(text, np.uint8), **arrays}
    np.savez_compressed(content, **everything)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, content.getvalue())
    return len(content.getvalue())


def pack_as_asked(weights_at: Callable[[str], Weights], argv: Optional[Sequence[str]]) -> int:
    """Packs what a framework finds at the path of the command line; returns 0.

    Args:
        weights_at: from a path to what is packed.
    """
    parser = Parser(description="Packs trained weights in one file, which --checkpoint takes.")
    parser.add_argument("path", help="a run folder, or a checkpoint in it")
    parser.add_argument("target", help=f"the file to write, NAME{SUFFIX}")
    asked = parser.parse_args(argv)
    size = write(Path(asked.target), *weights_at(asked.path))
    print(f"{asked.target}: {size:,} bytes")
    return 0
