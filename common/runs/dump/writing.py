"""Writes the tensors of a step; the index comes last, so a dump with one is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from common.core.codec import plain, write_json
from common.core.files import make_folder, move_aside, save_atomically
from common.runs.dump.dump_format import (
    FORMAT,
    INDEX,
    INPUTS,
    SCHEMA_VERSION,
    SETTING,
    TENSORS,
    Entry,
    Index,
    Subject,
    Tensor,
    digest_of,
    step_folder,
)

Keyed = List[Tuple[Entry, np.ndarray]]
_KEEP = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")


def write_dump(
    run_folder: Path, subject: Subject, inputs: Sequence[Tensor], tensors: Sequence[Tensor]
) -> Path:
    """Writes a dump into a run folder; an earlier one of the same step is moved aside.

    Args:
        inputs: what the step was computed from.
        tensors: what came out, in execution order.

    Returns:
        The dump's folder.
    """
    folder = _fresh_folder(run_folder, subject.step)
    of_inputs, of_tensors = _all_keyed(inputs), _all_keyed(tensors)
    _save(folder / INPUTS, of_inputs)
    return _finish(folder, subject, [entry for entry, _ in of_inputs], of_tensors)


def write_replayed(
    run_folder: Path,
    subject: Subject,
    source: Index,
    settings: Sequence[Tensor],
    tensors: Sequence[Tensor],
) -> Path:
    """Writes a dump that was computed from another one's inputs, which are not stored again.

    Args:
        source: the other one's index.
        settings: this run's own inputs of kind SETTING.
    """
    inputs = [entry for entry in source.inputs if entry.kind != SETTING] + [
        entry for entry, _ in _all_keyed(settings)
    ]
    return _finish(_fresh_folder(run_folder, subject.step), subject, inputs, _all_keyed(tensors))


def _all_keyed(tensors: Sequence[Tensor]) -> Keyed:
    """Each tensor as it is stored; ValueError where two of a kind have the same name."""
    names = [(tensor.kind, tensor.name) for tensor in tensors]
    if len(set(names)) < len(names):
        raise ValueError(f"a name is given twice among {sorted(names)}")
    return [_keyed(tensor, f"t{number:05d}") for number, tensor in enumerate(tensors)]


def _keyed(tensor: Tensor, key: str) -> Tuple[Entry, np.ndarray]:
    given = np.asarray(tensor.values)
    # numpy has no bfloat16 of its own: every reader knows float32, which holds all its values.
    values = given if given.dtype.name in _KEEP else given.astype(np.float32)
    stored = tuple(int(size) for size in values.shape)
    shape = stored if tensor.shape is None else tuple(int(size) for size in tensor.shape)
    return Entry(
        tensor.name,
        tensor.kind,
        tensor.dtype or given.dtype.name,
        shape,
        stored,
        digest_of(values),
        key,
    ), values


def _fresh_folder(run_folder: Path, step: int) -> Path:
    folder = step_folder(run_folder, step)
    if folder.exists():
        move_aside(folder)
    return make_folder(folder, "--output_path")


def _finish(folder: Path, subject: Subject, inputs: Sequence[Entry], tensors: Keyed) -> Path:
    _save(folder / TENSORS, tensors)
    index = Index(subject, tuple(inputs), tuple(entry for entry, _ in tensors))
    about = {"format": FORMAT, "schema_version": SCHEMA_VERSION}
    write_json(folder / INDEX, {**about, **plain(index)})
    return folder


def _save(path: Path, tensors: Keyed) -> None:
    arrays: Dict[str, Any] = {entry.key: values for entry, values in tensors}
    save_atomically(path, lambda stream: np.savez(stream, **arrays))


def plain_json(content: Any) -> Any:
    """As JSON would bring it back, so that what is written compares with what is read."""
    return json.loads(json.dumps(content))
