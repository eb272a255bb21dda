"""The tensors of one training step on the disk: what a dump holds, writing it, reading it back.

<run folder>/tensors/step_00000003/index.json    what is there, in execution order; written last
                                   tensors.npz   activations, loss, gradients, updated weights
                                   inputs.npz    batch, noise, weights before the step
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import zipfile
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from common.core.codec import parse_json, plain, structured, write_json
from common.core.errors import UsageError, ZooError, first_line
from common.core.files import make_folder, move_aside, save_atomically
from common.core.text import listed, quoted
from common.machine.precision import Precision

FORMAT = "zoo.tensor_dump"
SCHEMA_VERSION = 1
FOLDER = "tensors"  # below a run folder
INDEX, TENSORS, INPUTS = "index.json", "tensors.npz", "inputs.npz"

# In execution order; gradients are of the loss without its scale, before clipping.
ACTIVATION, LOSS, GRADIENT, WEIGHT = "activation", "loss", "gradient", "weight"
KINDS = (ACTIVATION, LOSS, GRADIENT, WEIGHT)
FORWARD = (ACTIVATION, LOSS)
BATCH, NOISE, WEIGHT_BEFORE = "batch", "noise", "weight before"
OPTIMIZER, SETTING = "optimizer", "setting"
LEARNING_RATE = "learning_rate"

KEPT_ELEMENTS = 1 << 18  # of an activation: its first samples, a megabyte of float32
_STORED = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")

FLOAT32, TF32, FLOAT16, BFLOAT16 = "float32", "tf32", "float16", "bfloat16"
# Half the distance of 1 from the next number: the largest relative error of one rounding.
ROUNDING: Dict[str, float] = {
    FLOAT32: 2.0**-24,
    TF32: 2.0**-11,
    FLOAT16: 2.0**-11,
    BFLOAT16: 2.0**-8,
}


def arithmetic_of(precision: Precision) -> str:
    """The coarsest arithmetic that a run computes in: a key of ROUNDING."""
    if precision.half_weights or precision.apex_opt_level is not None:
        return FLOAT16
    if precision.autocast_dtype is not None:
        return precision.autocast_dtype
    if precision.tf32:
        return TF32
    if precision.device_kind != "npu" or precision.name == "must_keep_origin_dtype":
        return FLOAT32
    # The chip's own modes: what is not the plain one reads 16 bits.
    return BFLOAT16 if "bf16" in precision.name else FLOAT16


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor to be stored.

    Attributes:
        name: the same on every stack, such as "encoder_cnn/0".
        kind: one of KINDS; of an input BATCH, NOISE, WEIGHT_BEFORE, OPTIMIZER or SETTING.
        values: as numpy holds them everywhere; bfloat16 as float32.
        dtype: what it was computed in; "" for that of `values`.
        shape: the whole shape where only the first samples are kept; None for that of `values`.
    """

    name: str
    kind: str
    values: np.ndarray
    dtype: str = ""
    shape: Optional[Tuple[int, ...]] = None


@dataclasses.dataclass(frozen=True)
class Entry:
    """What the index says of a tensor; `stored` is the shape of what is kept of it."""

    name: str
    kind: str
    dtype: str
    shape: Tuple[int, ...]
    stored: Tuple[int, ...]
    sha256: str
    key: str


@dataclasses.dataclass(frozen=True)
class Subject:
    """Whose step it is.

    Attributes:
        network: {"name": …} and whatever must agree.
        framework, device: in words, for people.
        precision: as run records have it.
        arithmetic: a key of ROUNDING.
        replayed_from: the run whose inputs were used, "" for the run's own.
    """

    model: str
    task: str
    network: Dict[str, Any]
    framework: str
    device: str
    precision: Dict[str, str]
    arithmetic: str
    step: int
    world_size: int
    replayed_from: str = ""

    def mistakes(self) -> Iterator[Tuple[str, str]]:
        """What is wrong with a subject that was read, by key."""
        if self.arithmetic not in ROUNDING:
            yield "arithmetic", f"must be one of {listed(ROUNDING)}, not {quoted(self.arithmetic)}"


@dataclasses.dataclass(frozen=True)
class Index:
    """The content of index.json."""

    subject: Subject
    inputs: Tuple[Entry, ...]
    tensors: Tuple[Entry, ...]


def step_folder(run_folder: Path, step: int) -> Path:
    """Where the dump of a step (from 1) lies."""
    return Path(run_folder) / FOLDER / f"step_{step:08d}"


def digest_of(values: np.ndarray) -> str:
    """The sha256 of an array's type, shape and values, the same on every machine."""
    little = np.asarray(values, order="C").astype(values.dtype.newbyteorder("<"), copy=False)
    head = f"{little.dtype.str} {list(little.shape)}\n".encode("ascii")
    return hashlib.sha256(head + little.tobytes()).hexdigest()


def numbered(names: Sequence[str]) -> List[str]:
    """The names of tensors; one that several have is numbered from 1: "fc@1", "fc@2"."""
    seen: Dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(f"{name}@{seen[name]}" if names.count(name) > 1 else name)
    return found


def kept_samples(shape: Tuple[int, ...]) -> Optional[int]:
    """How many samples of an activation (samples first) are kept; None for all of them."""
    size = int(np.prod(shape, dtype=np.int64))
    if not shape or size <= KEPT_ELEMENTS:
        return None
    return max(1, KEPT_ELEMENTS // (size // shape[0]))


# --- writing ---


def write_dump(
    run_folder: Path,
    subject: Subject,
    inputs: Sequence[Tensor],
    tensors: Sequence[Tensor],
    source: Optional[Index] = None,
) -> Path:
    """Writes a dump into a run folder; an earlier one of the same step is moved aside.

    Args:
        inputs: what the step was computed from.
        tensors: what came out, in execution order.
        source: of the dump whose inputs were used; of this run's own the settings alone count
            then, and no inputs are stored again.

    Returns:
        The dump's folder.
    """
    folder = step_folder(run_folder, subject.step)
    if folder.exists():
        move_aside(folder)
    make_folder(folder, "--output_path")
    if source is None:
        of_inputs = _save(folder / INPUTS, inputs)
    else:
        settings = _stored(tensor for tensor in inputs if tensor.kind == SETTING)
        of_inputs = [entry for entry in source.inputs if entry.kind != SETTING]
        of_inputs += [entry for entry, _ in settings]
    index = Index(subject, tuple(of_inputs), tuple(_save(folder / TENSORS, tensors)))
    about = {"format": FORMAT, "schema_version": SCHEMA_VERSION}
    write_json(folder / INDEX, {**about, **plain(index)})
    return folder


def _save(path: Path, tensors: Iterable[Tensor]) -> List[Entry]:
    """Writes tensors; returns what the index says of them."""
    stored = _stored(tensors)
    arrays: Dict[str, Any] = {entry.key: values for entry, values in stored}
    save_atomically(path, lambda stream: np.savez(stream, **arrays))
    return [entry for entry, _ in stored]


def _stored(tensors: Iterable[Tensor]) -> List[Tuple[Entry, np.ndarray]]:
    """Each tensor as it is stored; ValueError where two of a kind have the same name."""
    found: Dict[Tuple[str, str], Tuple[Entry, np.ndarray]] = {}
    for number, tensor in enumerate(tensors):
        name, kind, given = tensor.name, tensor.kind, np.asarray(tensor.values)
        if (kind, name) in found:
            raise ValueError(f"{kind} {name} is given twice")
        # numpy has no bfloat16 of its own: every reader knows float32, which holds all its values.
        values = given if given.dtype.name in _STORED else given.astype(np.float32)
        shape = tuple(int(size) for size in tensor.shape or values.shape)
        dtype, key = tensor.dtype or given.dtype.name, f"t{number:05d}"
        entry = Entry(name, kind, dtype, shape, values.shape, digest_of(values), key)
        found[kind, name] = entry, values
    return list(found.values())


# --- reading ---


class Dump:
    """A dump on the disk: its index, and its tensors when they are asked for."""

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder, self.index = folder, index

    @property
    def subject(self) -> Subject:
        """Whose step it is."""
        return self.index.subject

    def tensors(self, entries: Sequence[Entry]) -> Iterator[np.ndarray]:
        """The tensors of some entries of the index, one after the other.

        Raises:
            UsageError: one is missing, damaged, or not the one that was written.
        """
        return self._read(TENSORS, entries)

    def inputs(self, kind: str) -> Dict[str, np.ndarray]:
        """The inputs of one kind by name; see tensors."""
        if not (self.folder / INPUTS).is_file() and self.subject.replayed_from:
            raise UsageError(
                f"{self.folder} holds no inputs: that run itself used those of "
                f"{self.subject.replayed_from}; give that one to --dump_from"
            )
        entries = [entry for entry in self.index.inputs if entry.kind == kind]
        return {entry.name: values for entry, values in zip(entries, self._read(INPUTS, entries))}

    def _read(self, name: str, entries: Sequence[Entry]) -> Iterator[np.ndarray]:
        path = self.folder / name
        try:
            with zipfile.ZipFile(str(path)) as archive:
                for entry in entries:
                    with archive.open(entry.key + ".npy") as stream:
                        values = np.lib.format.read_array(stream, allow_pickle=False)
                    if digest_of(values) != entry.sha256:
                        raise ValueError(f"{entry.kind} {entry.name} has not its checksum")
                    yield values
        except Exception as error:  # a flipped bit makes these libraries raise all kinds
            raise _damaged(path, first_line(error)) from error


def _damaged(path: Path, why: str) -> UsageError:
    why = " ".join(why.split())
    return UsageError(f"dump {path} is damaged ({why}); dump again with --dump_tensors")


def find_dump(path: Path, step: Optional[int] = None) -> Dump:
    """The dump that a user's path means: a run folder, its tensors folder, or a step's folder.

    Args:
        step: which one where there are several; None for the only one.

    Raises:
        UsageError: there is none, several, or it is damaged. Never an error whose exit code could
            be taken for a verdict.
    """
    path = Path(path)
    if (path / INDEX).is_file():
        return read_dump(path)
    found = [*path.glob(f"{FOLDER}/step_*/{INDEX}"), *path.glob(f"step_*/{INDEX}")]
    steps = [(re.search(r"step_(\d+)$", index.parent.name), index.parent) for index in found]
    folders = {int(name.group(1)): folder for name, folder in steps if name}
    if step is not None:
        folders = {number: folder for number, folder in folders.items() if number == step}
    if not folders:
        of_step = "" if step is None else f" of step {step}"
        raise UsageError(
            f"{path} holds no dump{of_step}: run with --dump_tensors K, and give the run's folder"
        )
    if len(folders) > 1:
        raise UsageError(
            f"{path} holds dumps of steps {', '.join(map(str, sorted(folders)))}: give the folder "
            f"of one, such as {folders[min(folders)]}, or --step to zoo diverge"
        )
    return read_dump(next(iter(folders.values())))


def read_dump(folder: Path) -> Dump:
    """Reads the index of a dump.

    Raises:
        UsageError: damaged, of another program, or of a newer version.
    """
    path = Path(folder) / INDEX
    try:
        content = parse_json(path.read_bytes(), str(path))
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise UsageError(
                f"{path} is no index of a dump; give the folder of a run with --dump_tensors"
            )
        version = content.pop("schema_version", None)
        if type(version) is not int or version > SCHEMA_VERSION:
            raise UsageError(
                f"{path} was written by a newer version (format {quoted(version)}, known here: up "
                f"to {SCHEMA_VERSION}); update this checkout"
            )
        return Dump(Path(folder), structured(content, Index, INDEX))
    except UsageError:
        raise
    except (OSError, ZooError) as error:
        raise _damaged(path, first_line(error)) from error
