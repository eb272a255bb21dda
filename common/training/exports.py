"""Networks written for other programs: every file is tried before any of them is kept."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Callable, List, Mapping, Tuple

import numpy as np

from common.core.errors import ZooError

DESCRIPTION = "export.json"
TOLERANCE = 1e-4
OPSET = 13  # of ONNX: the newest that torch 1.8 writes

Arrays = Mapping[str, np.ndarray]
Program = Callable[[Arrays], Arrays]
Made = Tuple[Path, Program]  # a file, and how to compute by it alone


def require_same(what: str, expected: Arrays, found: Arrays) -> str:
    """Tells how far a file's outputs are off, at most, over an output's largest value or 1.

    Raises:
        ZooError: further than TOLERANCE.
    """
    off = [
        np.max(np.abs(np.float64(found[name]) - np.float64(value)))
        / max(1.0, np.max(np.abs(np.float64(value))))
        for name, value in expected.items()
    ]
    largest = float(np.max(off))  # numpy's, in which not a number wins
    if not largest <= TOLERANCE:
        raise ZooError(
            f"{what} gives other outputs than the network (off by {largest:.2g} of the largest, "
            f"{TOLERANCE:g} is allowed), so nothing is written"
        )
    return f"off by {largest:.1e} of the largest output at most"


def write_exports(
    folder: Path,
    writers: Mapping[str, Callable[[Path], Made]],
    example: Arrays,
    expected: Arrays,
    facts: Mapping[str, Any],
) -> List[str]:
    """Writes files and export.json, once every file has given the expected; a line of each.

    Args:
        folder: there already.
        writers: by format, of a file in a folder.
        example: inputs by name, on which each file is tried; expected: their outputs.
        facts: what a user of the files has to know: class names, how images are prepared.

    Raises:
        ZooError: a file gives something else.
    """
    lines = []
    with tempfile.TemporaryDirectory(prefix=".export", dir=str(folder)) as aside:
        for name, write in writers.items():
            made, program = write(Path(aside))
            told = require_same(made.name, expected, program(example))
            lines.append(f"{name}: {folder / made.name}, {told}")
        described = {
            kind: {name: [value.dtype.name, list(value.shape)] for name, value in arrays.items()}
            for kind, arrays in (("inputs", example), ("outputs", expected))
        }
        text = json.dumps({**described, **facts}, indent=1, ensure_ascii=False)
        (Path(aside) / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
        for path in Path(aside).iterdir():
            os.replace(str(path), str(folder / path.name))
    return [*lines, f"inputs, outputs and their meaning: {folder / DESCRIPTION}"]


def add_facts(model: Any, facts: Mapping[str, Any]) -> None:
    """Adds facts to an ONNX model's metadata: texts as they are, all else as JSON."""
    for name, value in facts.items():
        entry = model.metadata_props.add()
        entry.key = name
        entry.value = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
