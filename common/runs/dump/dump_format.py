"""What a dump of one training step is: its files, and what its index says.

<run folder>/tensors/step_00000003/index.json    what is there, in execution order
                                   tensors.npz   activations, loss, gradients, updated weights
                                   inputs.npz    batch, noise, weights before the step
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from common.core.text import listed, quoted
from common.runs.dump.arithmetic import ROUNDING

FORMAT = "zoo.tensor_dump"
SCHEMA_VERSION = 1
FOLDER = "tensors"  # below a run folder
INDEX, TENSORS, INPUTS = "index.json", "tensors.npz", "inputs.npz"

# In execution order; gradients are of the loss without its scale, before clipping.
ACTIVATION, LOSS, GRADIENT, WEIGHT = "activation", "loss", "gradient", "weight"
KINDS = (ACTIVATION, LOSS, GRADIENT, WEIGHT)
FORWARD = (ACTIVATION, LOSS)
BATCH, NOISE, WEIGHT_BEFORE, OPTIMIZER, SETTING = (
    "batch",
    "noise",
    "weight before",
    "optimizer",
    "setting",
)
LEARNING_RATE = "learning_rate"

KEPT_ELEMENTS = 1 << 18  # of an activation: its first samples, a megabyte of float32


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
        arithmetic: one of arithmetic.ROUNDING.
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
