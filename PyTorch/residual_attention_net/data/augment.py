"""Crop, flip and cutout of whole batches, on whatever device the batch is.

A pixel is held as one 32-bit word of up to four 8-bit channels, so that crop and flip are one
gather of words and cutout is one product: on a CPU an order of magnitude cheaper than moving
single bytes. Zero is zero before scaling to [0, 1], as in torchvision's padding.
"""

from __future__ import annotations

import functools
from typing import List, Optional

import numpy as np
import torch

_BITS = 8
_CHANNEL_MAXIMUM = 255


def pack_pixels(images: np.ndarray) -> np.ndarray:
    """Pixels as words: uint8 (N, *spatial, C), C from 1 to 4, to int32 (N, *spatial)."""
    channels = images.shape[-1]
    padded = np.zeros(images.shape[:-1] + (4,), np.uint8)
    padded[..., :channels] = images
    words = padded.view("<i4")[..., 0]
    return words.astype(np.int32, copy=False)


def unpack_to_uint8(words: torch.Tensor, channels: int) -> torch.Tensor:
    """Words as pixels again: int32 (B, *spatial) to uint8 (B, *spatial, C)."""
    parts = [_channel(words, channel) for channel in range(channels)]
    return torch.stack(parts, dim=-1).to(torch.uint8)


def unpack_to_unit_range(
    words: torch.Tensor, channels: int, channels_last: bool = False
) -> torch.Tensor:
    """Words as a network's input in [0, 1].

    Args:
        words: int32, (B, *spatial).
        channels: C.
        channels_last: the memory layout torch.channels_last (or channels_last_3d).

    Returns:
        float32, (B, C, *spatial), each value divided by 255 as torchvision's ToTensor does.
    """
    shape = (words.shape[0], channels) + tuple(words.shape[1:])
    pixels = torch.empty(
        shape,
        dtype=torch.float32,
        device=words.device,
        memory_format=memory_format(words.dim() - 1, channels_last),
    )
    for channel in range(channels):
        pixels[:, channel] = _channel(words, channel)
    return pixels.div_(_CHANNEL_MAXIMUM)


def memory_format(spatial_dims: int, channels_last: bool) -> torch.memory_format:
    """The layout of a batch with 2 or 3 spatial dimensions."""
    if not channels_last:
        return torch.contiguous_format
    return torch.channels_last_3d if spatial_dims == 3 else torch.channels_last


def _channel(words: torch.Tensor, channel: int) -> torch.Tensor:
    shifted = words >> (_BITS * channel) if channel else words
    return shifted & _CHANNEL_MAXIMUM


def crop_and_flip(
    words: torch.Tensor,
    samples: torch.Tensor,
    offsets: torch.Tensor,
    padding: int,
    flips: torch.Tensor,
) -> torch.Tensor:
    """Of each chosen image a window of its own size out of its zero-padded self, then a mirror.

    Args:
        words: int32, (N, *spatial): the whole set.
        samples: int64, (B,): which images.
        offsets: int64, (B, spatial dims): first row, column of the window, 0 to 2 * padding.
        padding: pixels of zeros on every side.
        flips: bool, (B,): mirror the last axis (left to right).

    Returns:
        int32, (B, *spatial).
    """
    sizes = words.shape[1:]
    flat, inside = _along_axis(samples.unsqueeze(1), None, len(sizes)), []
    for axis, size in enumerate(sizes):
        place = torch.arange(size, device=words.device).unsqueeze(0)
        if axis == len(sizes) - 1:
            place = torch.where(flips.unsqueeze(1), size - 1 - place, place)
        place = place + (offsets[:, axis] - padding).unsqueeze(1)
        inside.append((place >= 0) & (place < size))
        flat = flat * size + _along_axis(place.clamp(0, size - 1), axis, len(sizes))
    gathered = words.reshape(-1).index_select(0, flat.reshape(-1)).view((-1, *sizes))
    return gathered * _all_axes(inside) if padding else gathered


def _along_axis(values: torch.Tensor, axis: Optional[int], dims: int) -> torch.Tensor:
    """(B, n) as (B, 1, .., n, .., 1) with n at spatial axis `axis`."""
    shape = [values.shape[0]] + [1] * dims
    if axis is not None:
        shape[axis + 1] = values.shape[1]
    return values.view(shape)


def _all_axes(by_axis: List[torch.Tensor]) -> torch.Tensor:
    """Where every axis says yes: (B, size) each, to bool (B, *spatial)."""
    places = [_along_axis(values, axis, len(by_axis)) for axis, values in enumerate(by_axis)]
    return functools.reduce(torch.logical_and, places)


def cut_out(words: torch.Tensor, centres: torch.Tensor, size: int) -> torch.Tensor:
    """Sets a square (a cube of volumes) of every image to zero, clipped at the borders.

    Args:
        words: int32, (B, *spatial).
        centres: int64, (B, spatial dims).
        size: of a side; the square covers centre - size // 2 and the size - 1 places after.

    Returns:
        int32, (B, *spatial).
    """
    sides = []
    for axis, length in enumerate(words.shape[1:]):
        place = torch.arange(length, device=words.device).unsqueeze(0)
        first = centres[:, axis].unsqueeze(1) - size // 2
        sides.append((place >= first) & (place < first + size))
    return words * ~_all_axes(sides)
