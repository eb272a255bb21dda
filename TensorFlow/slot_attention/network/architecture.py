"""The sizes of a network, as data: what the paper uses for each dataset, and what flags change."""

from __future__ import annotations

import dataclasses
from typing import Dict, Iterable, Optional, Tuple

import numpy as np

from common.core.errors import UsageError

LEARNED, GAUSSIAN = "learned", "gaussian"
INITIAL_SLOTS = (GAUSSIAN, LEARNED)


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A convolution with SAME padding: square kernel, output channels, stride."""

    kernel: int
    channels: int
    stride: int = 1


@dataclasses.dataclass(frozen=True)
class SlotSettings:
    """The Slot Attention module.

    Attributes:
        count: number of slots K; size: dimension D of a slot; hidden: of the MLP after the GRU.
        iterations: T, rounds of attention.
        initial: "gaussian" draws slots from one learned Gaussian (paper), "learned" has one
            learned vector per slot (Jia et al. 2023, arXiv 2210.08990).
        implicit: gradients flow through the last iteration only (Chang et al. 2022,
            arXiv 2207.00787); the forward pass stays the same.
    """

    count: int = 7
    size: int = 64
    hidden: int = 128
    iterations: int = 3
    initial: str = GAUSSIAN
    implicit: bool = False


@dataclasses.dataclass(frozen=True)
class Architecture:
    """An autoencoder's sizes (paper, section E.3; reference model.py).

    Attributes:
        resolution: height and width of the images, pixels.
        encoder: the convolutions, each followed by ReLU.
        broadcast: height and width to which the decoder repeats each slot.
        decoder: its transposed convolutions; all but the last are followed by ReLU, the last one
            has 4 channels: RGB and the mask's logit.
    """

    name: str
    resolution: int
    encoder: Tuple[Convolution, ...]
    broadcast: int
    decoder: Tuple[Convolution, ...]


def reduced(size: int, strides: Iterable[int]) -> int:
    """A height or width after convolutions of these strides, SAME padding."""
    for stride in strides:
        size = -(-size // stride)
    return size


def _paper_encoder(channels: int) -> Tuple[Convolution, ...]:
    return (Convolution(5, channels),) * 4


def _full_size_decoder(channels: int) -> Tuple[Convolution, ...]:
    return (Convolution(5, channels),) * 3 + (Convolution(3, 4),)


_UPSAMPLING = (Convolution(5, 64, 2),) * 4 + (Convolution(5, 64), Convolution(3, 4))
SET_STRIDES = (1, 2, 2, 1)  # of the set prediction encoder's convolutions
_SET_CHANNELS = 64
ATTRIBUTES = 19  # of an object that is predicted

ARCHITECTURES: Dict[str, Architecture] = {
    item.name: item
    for item in (
        Architecture("clevr", 128, _paper_encoder(64), 8, _UPSAMPLING),
        Architecture("multi_dsprites", 64, _paper_encoder(32), 64, _full_size_decoder(32)),
        Architecture("tetrominoes", 35, _paper_encoder(32), 35, _full_size_decoder(32)),
        # Not the paper's: small enough that a processor learns in minutes; the decoder looks at one
        # position at a time, so that a slot can't paint what it knows nothing of.
        Architecture(
            "small",
            32,
            (Convolution(5, 32, 2),) + (Convolution(5, 32),) * 3,
            32,
            (Convolution(1, 64),) * 3 + (Convolution(1, 4),),
        ),
        # The same idea for 3-D scenes of 64x64: an eighth of the operations of the clevr network.
        Architecture(
            "scenes",
            64,
            (Convolution(5, 32, 2),) + (Convolution(5, 32),) * 2 + (Convolution(5, 64),),
            32,
            (Convolution(1, 64),) * 3 + (Convolution(4, 4, 2),),
        ),
    )
}


def architecture_of(name: str, resolution: Optional[int] = None) -> Architecture:
    """A named architecture, at another resolution where one is given.

    Raises:
        UsageError: no such name, or the decoder can't reach that resolution.
    """
    if name not in ARCHITECTURES:
        raise UsageError(
            "--architecture {!r} is unknown; there are: {}".format(name, ", ".join(ARCHITECTURES))
        )
    known = ARCHITECTURES[name]
    if resolution is None or resolution == known.resolution:
        return known
    if known.broadcast == known.resolution:
        return dataclasses.replace(known, resolution=resolution, broadcast=resolution)
    factor = known.resolution // known.broadcast
    if resolution % factor:
        raise UsageError(
            f"--resolution {resolution} can't be reached by the {name} decoder: give a multiple of "
            f"{factor}, or another --architecture"
        )
    return dataclasses.replace(known, resolution=resolution, broadcast=resolution // factor)


def set_encoder(strides: Iterable[int]) -> Tuple[Convolution, ...]:
    """The convolutions of set prediction (paper, section E.2)."""
    return tuple(Convolution(5, _SET_CHANNELS, stride) for stride in strides)


def position_grid(size: int) -> np.ndarray:
    """The grid (1, size, size, 4), float32: row, column, 1 - row, 1 - column, each in [0, 1]."""
    line = np.linspace(0.0, 1.0, num=size)
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).astype(np.float32)
    return np.concatenate([grid, 1.0 - grid], axis=-1)[np.newaxis]
