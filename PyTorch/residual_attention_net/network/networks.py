"""The Residual Attention Networks as data: stages, channels, mask depths and sizes.

Sources: Wang et al., "Residual Attention Network for Image Classification", CVPR 2017
(arXiv 1704.06904), and the public PyTorch implementation of it whose parameter names these follow.
No framework is imported here; model.py builds a network from its description.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Dict, Tuple

PARTS = "parts"
NUMBERED = "numbered"
BOTTLENECK = "bottleneck"
BASIC = "basic"
POOLED = "pooled"
LAYERS_OF_BLOCK = {BOTTLENECK: 3, BASIC: 2, POOLED: 2}


@dataclass(frozen=True)
class MaskNames:
    """The reference's names of the parts of one mask branch, outermost resolution first."""

    down: Tuple[str, ...]
    skip: Tuple[str, ...]
    middle: str
    up: Tuple[str, ...]
    gate: str


def mask_names(naming: str, depth: int) -> MaskNames:
    """Name the parts of a mask branch that halves its input `depth` times.

    The reference has two habits: its 32-pixel networks name the parts for what they do, its 224-
    and 448-pixel networks number them all in the order they run.
    """
    levels = range(1, depth)
    skip = tuple(f"skip{level}_connection_residual_block" for level in levels)
    if naming == PARTS:
        down = tuple(f"down_residual_blocks{level}" for level in levels)
        up = tuple(f"up_residual_blocks{level}" for level in levels)
        return MaskNames(down, skip, "middle_2r_blocks", up, "conv1_1_blocks")
    down = tuple(f"softmax{level}_blocks" for level in levels)
    up = tuple(f"softmax{2 * depth - level}_blocks" for level in levels)
    return MaskNames(down, skip, f"softmax{depth}_blocks", up, f"softmax{2 * depth}_blocks")


@dataclass(frozen=True)
class StemSpec:
    """The first convolution (batch norm, ReLU), then a halving max-pool of `pool` pixels a side.

    A pool of 0 is none.
    """

    channels: int
    kernel: int
    stride: int = 1
    pool: int = 0


@dataclass(frozen=True)
class StageSpec:
    """A residual block to `channels`, then attention modules; masks halve `mask_depth` times."""

    channels: int
    modules: int
    mask_depth: int
    stride: int = 2


@dataclass(frozen=True)
class HeadSpec:
    """The residual blocks after the last stage; the first may halve the size."""

    channels: int
    stride: int = 1
    blocks: int = 3


@dataclass(frozen=True)
class NetworkSpec:
    """One network. Inputs are square, or cubes for volumes, of `input_size` pixels a side.

    Attributes:
        block: the residual unit: BOTTLENECK (1x1, 3x3, 1x1), BASIC (two 3x3), or POOLED (two 3x3,
            halved by a max-pool between them and not by a stride).
        trunk_blocks: residual units of a trunk branch, the paper's t.
    """

    name: str
    input_size: int
    stem: StemSpec
    stages: Tuple[StageSpec, ...]
    head: HeadSpec
    first_stage: int = 1
    mask_naming: str = PARTS
    block: str = BOTTLENECK
    trunk_blocks: int = 2

    @property
    def depth(self) -> int:
        """Layers with weights along the trunk: 36 m + 20 for m modules in each of three stages."""
        of_module = 2 + self.trunk_blocks
        blocks = sum(1 + of_module * stage.modules for stage in self.stages) + self.head.blocks
        return 1 + LAYERS_OF_BLOCK[self.block] * blocks + 1

    @property
    def stage_sizes(self) -> Tuple[int, ...]:
        """Pixels a side inside each stage."""
        size, sizes = reduced(self.input_size, self.stem.stride), []
        size = reduced(size, 2) if self.stem.pool else size
        for stage in self.stages:
            size = reduced(size, stage.stride)
            sizes.append(size)
        return tuple(sizes)

    @property
    def head_size(self) -> int:
        """Pixels a side that the average pool takes."""
        return reduced(self.stage_sizes[-1], self.head.stride)


def reduced(size: int, stride: int) -> int:
    """Pixels a side after a padded window of odd width moves with `stride`."""
    return (size + stride - 1) // stride


def mask_sizes(size: int, depth: int) -> Tuple[int, ...]:
    """Pixels a side in a mask branch: its input, then after each of `depth` max-pools."""
    sizes = [size]
    for _ in range(depth):
        sizes.append(reduced(sizes[-1], 2))
    return tuple(sizes)


def residual_block_name(number: int) -> str:
    """The reference's name of the block that opens a stage, or of one of the head's blocks."""
    return f"residual_block{number}"


def attention_module_name(stage: int, module: int) -> str:
    """The reference's name of an attention module; the second of a stage is the first with _2."""
    suffix = "" if module == 1 else f"_{module}"
    return f"attention_module{stage}{suffix}"


def identifying_shapes(spec: NetworkSpec, spatial_dims: int = 2) -> Dict[str, Tuple[int, ...]]:
    """A few parameters' names and shapes that together tell this network from every other.

    The number of input channels is left out: the stem is told by its width and its kernel.
    """
    point = (1,) * spatial_dims
    shapes = {"conv1.0.weight": (spec.stem.channels,) + (spec.stem.kernel,) * spatial_dims}
    for number, stage in enumerate(spec.stages, spec.first_stage):
        square = (stage.channels, stage.channels)
        name = residual_block_name(number)
        if spec.block == BOTTLENECK:
            shapes[name + ".conv3.weight"] = (stage.channels, stage.channels // 4) + point
        else:
            shapes[name + ".conv2.weight"] = square + (3,) * spatial_dims
        gate = mask_names(spec.mask_naming, stage.mask_depth).gate
        for module in range(1, stage.modules + 1):
            name = attention_module_name(number, module)
            shapes[f"{name}.{gate}.5.weight"] = square + point
    return shapes


def _small_image_stages(modules: Tuple[int, int, int], width: int) -> Tuple[StageSpec, ...]:
    """Three stages whose mask branches all come down to the size of the last stage."""
    return (
        StageSpec(width, modules[0], 2, stride=1),
        StageSpec(2 * width, modules[1], 1),
        StageSpec(4 * width, modules[2], 0),
    )


def _large_network(
    name: str, size: int, modules: Tuple[int, int, int], before: Tuple[StageSpec, ...] = ()
) -> NetworkSpec:
    """The reference's networks for large images: masks come down to the head (section 4.2)."""
    stages = (
        StageSpec(256, modules[0], 3, stride=2 if before else 1),
        StageSpec(512, modules[1], 2),
        StageSpec(1024, modules[2], 1),
    )
    return NetworkSpec(
        name,
        size,
        StemSpec(64, 7, stride=2, pool=3),
        before + stages,
        HeadSpec(2048, stride=2),
        first_stage=1 - len(before),
        mask_naming=NUMBERED,
    )


def _reference_networks() -> Tuple[NetworkSpec, ...]:
    stages, head = _small_image_stages((1, 2, 3), 128), HeadSpec(1024)
    return (
        NetworkSpec("92_32input_update", 32, StemSpec(32, 3), stages, head),
        NetworkSpec("92_32input", 32, StemSpec(32, 5, pool=2), stages, head),
        _large_network("56", 224, (1, 1, 1)),
        _large_network("92", 224, (1, 2, 3)),
        _large_network("448input", 448, (1, 2, 3), (StageSpec(128, 1, 4, stride=1),)),
    )


CIFAR_MODULES = {56: 1, 92: 2, 128: 3, 164: 4, 236: 6, 452: 12}


def _cifar_network(depth: int, modules: int) -> NetworkSpec:
    """The paper's network for CIFAR with `modules` attention modules in each of three stages.

    The paper gives the structure (p = 1, t = 2, r = 1, depth 36 m + 20) and 1.9, 5.1 and 8.6
    million parameters for 92, 236 and 452, but no widths. The rule here: stages of 64, 128 and w
    channels, w the multiple of 8 that comes nearest to the published count, the head as wide as
    the last stage. w is 264 for 92 and 236, and so for the networks between and below; it is 248
    for 452. That gives 1.914, 5.030 and 8.840 million: +0.7, -1.4 and +2.8 %. One w for all cannot
    do it: parameters would grow in proportion to m, which the published counts do not; no widths
    equal in all three come nearer than 5.4 %.
    """
    stages = (
        StageSpec(64, modules, 2, stride=1),
        StageSpec(128, modules, 1),
        StageSpec(248 if depth == 452 else 264, modules, 0),
    )
    name = f"attention{depth}_cifar"
    return NetworkSpec(name, 32, StemSpec(16, 3), stages, HeadSpec(stages[-1].channels))


def _short_network(
    kind: str,
    widths: Tuple[int, int, int],
    modules: Tuple[int, int, int] = (1, 1, 1),
    trunk_blocks: int = 1,
    block: str = BASIC,
) -> NetworkSpec:
    """A network for short trainings on CIFAR: few and wide layers, at 16 pixels a side and below.

    Three stages of attention modules (p = 1, t = `trunk_blocks`, r = 1).
    """
    stages = tuple(map(StageSpec, widths, modules, (2, 1, 1)))
    head = HeadSpec(widths[-1], blocks=0)
    spec = NetworkSpec("", 32, StemSpec(32, 3), stages, head, 1, PARTS, block, trunk_blocks)
    return dataclasses.replace(spec, name=f"attention{spec.depth}_{kind}")


# For trials, of no paper: 16 pixels a side, one module in each stage.
_SMALL = NetworkSpec(
    "small_16input", 16, StemSpec(8, 3), _small_image_stages((1, 1, 1), 16), HeadSpec(128)
)

DEFAULT_NETWORK = "92_32input_update"
NETWORKS: Dict[str, NetworkSpec] = {
    spec.name: spec
    for spec in (
        *_reference_networks(),
        *(_cifar_network(depth, modules) for depth, modules in CIFAR_MODULES.items()),
        _short_network("narrow", (32, 64, 112)),
        _short_network("basic", (32, 96, 192)),
        _short_network("basic", (64, 128, 256), trunk_blocks=2),
        _short_network("pooled", (64, 128, 256), modules=(1, 0, 0), block=POOLED),
        _SMALL,
    )
}
