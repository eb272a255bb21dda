"""What a network's attention modules do to a few images, as arrays to be drawn."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Callable, ContextManager, Optional, Sequence, Tuple

import numpy as np

from residual_attention_net.data.samples import Samples, class_name
from residual_attention_net.predict import predict

if TYPE_CHECKING:
    import torch

    from residual_attention_net.network.model import ResidualAttentionNetwork

CLASSES_TOLD = 3
CAPTION_LENGTH = 26


@dataclasses.dataclass(frozen=True, eq=False)
class ModuleMasks:
    """What one attention module did to N images.

    Attributes:
        name: the module's name.
        channel_count: channels of the mask.
        mean: float32, (N, size, size): the mean over the channels, from 0 to 1.
        enlarged: float32, (N, H, W): the same, interpolated to the images' size.
        strongest: float32, (N, K, size, size): single channels.
        strongest_channels: int64, (N, K): which.
    """

    name: str
    channel_count: int
    mean: np.ndarray
    enlarged: np.ndarray
    strongest: np.ndarray
    strongest_channels: np.ndarray

    @property
    def size(self) -> int:
        """Pixels a side of the mask."""
        return int(self.mean.shape[-1])


@dataclasses.dataclass(frozen=True, eq=False)
class AttentionView:
    """N images with what the network made of them.

    Attributes:
        title: what network and which weights.
        images: uint8, (N, H, W, C).
        captions: N texts of a few lines: where from, true class, the most probable classes.
        modules: the masks, from the input to the output.
    """

    title: str
    images: np.ndarray
    captions: Tuple[str, ...]
    modules: Tuple[ModuleMasks, ...]


def attention_masks(
    network: ResidualAttentionNetwork, inputs: torch.Tensor, strongest: int = 0, count: int = 0
) -> Tuple[ModuleMasks, ...]:
    """The masks of every attention module for a few inputs, from the input to the output.

    Of volumes, the middle slice of the first spatial axis. The strongest channels are those whose
    values spread most over an image: a mask that is the same everywhere points at nothing.

    Args:
        inputs: float, (N, C, H, W) or (N, C, D, H, W), from 0 to 1, on the network's device.
        strongest: how many single channels to keep of each image.
        count: of the inputs, the first so many; 0: all.
    """
    size = inputs.shape[2:]
    return tuple(
        _module_masks(name, mask[: count or None].float().cpu(), size, strongest)
        for name, mask in network.masks(inputs).items()
    )


def _module_masks(
    name: str, mask: torch.Tensor, size: Sequence[int], strongest: int
) -> ModuleMasks:
    import torch.nn.functional as functional

    def flat(values: torch.Tensor) -> torch.Tensor:
        return values if len(size) == 2 else values.select(-3, values.shape[-3] // 2)

    mean = mask.mean(dim=1, keepdim=True)
    mode = "bilinear" if len(size) == 2 else "trilinear"
    enlarged = functional.interpolate(mean, size=tuple(size), mode=mode, align_corners=False)
    spread = mask.flatten(2).std(dim=2, unbiased=False)
    chosen = spread.topk(min(strongest, mask.shape[1]), dim=1).indices
    kept = [channels[numbers].numpy() for channels, numbers in zip(flat(mask), chosen)]
    return ModuleMasks(
        name,
        mask.shape[1],
        flat(mean[:, 0]).numpy(),
        flat(enlarged[:, 0]).numpy(),
        np.stack(kept),
        chosen.numpy(),
    )


def attention_view(
    network: ResidualAttentionNetwork,
    samples: Samples,
    classes: Sequence[str],
    title: str,
    forward_context: Callable[[], ContextManager[None]],
    strongest: int = 0,
    batch_size: Optional[int] = None,
) -> AttentionView:
    """Everything the picture of attention masks shows of a few samples.

    Args:
        classes: the name of every class.
        title: what network and weights, in words.
        forward_context: autocast, as in training.
        strongest: how many single channels of each mask to show.
        batch_size: as many inputs at a time, filled up with the last one except on a CPU, so that
            no other shape has to be compiled; default: as many as there are.
    """
    from common.data.labelled_images import LabelledImages
    from residual_attention_net.data.loader import EvaluationLoader

    size, device = batch_size or len(samples), next(network.parameters()).device
    unlabelled = LabelledImages(samples.images, np.zeros(len(samples), np.int64))
    loader = EvaluationLoader(unlabelled, size, device, pad_last=device.type != "cpu")
    with forward_context():
        parts = [
            attention_masks(network, batch.inputs, strongest, batch.valid)
            for batch in loader.batches()
        ]
    probabilities = predict(network, samples.images, size, forward_context)
    volumes = network.spatial_dims == 3
    return AttentionView(
        title + (", middle slice of each volume" if volumes else ""),
        samples.images[:, samples.images.shape[1] // 2] if volumes else samples.images,
        tuple(
            caption(name, truth, row, classes)
            for name, truth, row in zip(samples.names, samples.truths, probabilities)
        ),
        tuple(_joined(of_batches) for of_batches in zip(*parts)),
    )


def _joined(parts: Sequence[ModuleMasks]) -> ModuleMasks:
    """One module's masks of several batches as those of all."""
    fields = ("mean", "enlarged", "strongest", "strongest_channels")
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in fields}
    return dataclasses.replace(parts[0], **arrays)


def caption(
    name: str, truth: Optional[int], probabilities: np.ndarray, classes: Sequence[str]
) -> str:
    """What stands beside an image: its name, its true class, and what the network says."""
    best = np.argsort(-probabilities, kind="stable")[:CLASSES_TOLD]
    lines, outcome = [shortened(Path(name).name)], ""
    if truth is not None:
        lines.append("true class: " + shortened(class_name(classes, truth)))
        outcome = " (right)" if truth == best[0] else " (wrong)"
    lines.append(f"prediction{outcome}:")
    return "\n".join(
        lines
        + [
            f"{shortened(class_name(classes, index))} {100 * probabilities[index]:.1f} %"
            for index in best
        ]
    )


def shortened(text: str, length: int = CAPTION_LENGTH) -> str:
    """The text, without its middle where it is longer than `length`."""
    kept = length - 1
    return text if len(text) <= length else text[: kept - kept // 2] + "…" + text[-(kept // 2) :]
