"""The residual block and the attention module, alone."""

import pytest

torch = pytest.importorskip("torch")

from residual_attention_net.network.blocks import (  # noqa: E402
    BLOCKS,
    LAYERS,
    AttentionModule,
    BasicBlock,
    ResidualBlock,
)
from residual_attention_net.network.networks import (  # noqa: E402
    BASIC,
    BOTTLENECK,
    NUMBERED,
    PARTS,
    mask_names,
)

pytestmark = pytest.mark.pytorch
DIMENSIONS = pytest.mark.parametrize("spatial_dims", [2, 3])
KINDS = pytest.mark.parametrize("kind", BLOCKS.values())


def attention_module(sizes, naming=PARTS, spatial_dims=2, block=BOTTLENECK, trunk_blocks=2):
    names = mask_names(naming, len(sizes) - 1)
    return AttentionModule(LAYERS[spatial_dims], 8, sizes, names, block, trunk_blocks)


def test_a_module_has_the_kind_and_the_number_of_units_it_is_told():
    module = attention_module((8, 4, 2), block=BASIC, trunk_blocks=1)
    assert len(module.trunk_branches) == 1
    # p + t + p, and in the mask branch down, skip, two in the middle, up.
    assert [type(part) for part in module.modules()].count(BasicBlock) == 3 + 5
    assert not any(isinstance(part, ResidualBlock) for part in module.modules())


@KINDS
@DIMENSIONS
def test_a_block_that_keeps_its_shape_has_no_shortcut_weight(spatial_dims, kind):
    block = kind(LAYERS[spatial_dims], 8, 8)
    assert not [name for name in block.state_dict() if name.startswith("conv4")]


@KINDS
@DIMENSIONS
@pytest.mark.parametrize("output_channels, stride", [(8, 2), (16, 1), (16, 2)])
def test_a_block_that_changes_its_shape_has_one(spatial_dims, output_channels, stride, kind):
    block = kind(LAYERS[spatial_dims], 8, output_channels, stride)
    found = block(torch.rand((2, 8) + (6,) * spatial_dims))
    assert "conv4.weight" in block.state_dict()
    assert found.shape == (2, output_channels) + (6 // stride,) * spatial_dims


def test_an_identity_block_with_a_silent_branch_returns_its_input():
    block = ResidualBlock(LAYERS[2], 8, 8).eval()
    torch.nn.init.zeros_(block.conv3.weight)
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(block(x), x)


def test_the_shortcut_convolution_sees_the_first_activation_not_the_input():
    block = ResidualBlock(LAYERS[2], 8, 16).eval()
    torch.nn.init.zeros_(block.conv3.weight)
    x = torch.randn(2, 8, 5, 5)
    expected = block.conv4(torch.relu(block.bn1(x)))
    assert torch.allclose(block(x), expected)
    assert not torch.allclose(expected, block.conv4(x))


def test_a_basic_block_is_two_3x3_convolutions_beside_its_input():
    block = BasicBlock(LAYERS[2], 8, 8)
    x = torch.randn(2, 8, 5, 5)
    expected = block.conv2(torch.relu(block.bn2(block.conv1(torch.relu(block.bn1(x)))))) + x
    assert torch.allclose(block(x), expected, atol=1e-6)
    assert block.conv1.kernel_size == block.conv2.kernel_size == (3, 3)


@KINDS
def test_a_block_leaves_its_input_as_it_was(kind):
    block = kind(LAYERS[2], 8, 8)
    x = torch.randn(2, 8, 5, 5)
    before = x.clone()
    block(x)
    assert torch.equal(x, before)


@DIMENSIONS
@pytest.mark.parametrize("sizes", [(4,), (8, 4), (8, 4, 2), (7, 4, 2, 1)])
def test_an_attention_module_keeps_the_shape_at_every_mask_depth(sizes, spatial_dims):
    module = attention_module(sizes, spatial_dims=spatial_dims)
    x = torch.rand((2, 8) + (sizes[0],) * spatial_dims)
    assert module(x).shape == x.shape


def test_the_mask_has_a_value_between_0_and_1_for_each_channel_and_position():
    module = attention_module((8, 4))
    masks = []
    module.gate.register_forward_hook(lambda gate, inputs, output: masks.append(output))
    module(torch.randn(2, 8, 8, 8))
    assert masks[0].shape == (2, 8, 8, 8)
    assert masks[0].min() > 0 and masks[0].max() < 1


@pytest.mark.parametrize("mask, factor", [(0.0, 1.0), (1.0, 2.0), (0.5, 1.5)])
def test_the_trunk_is_weighed_by_one_plus_the_mask(mask, factor):
    module = attention_module((8, 4)).eval()
    module.gate.register_forward_hook(lambda gate, inputs, output: torch.full_like(output, mask))
    x = torch.randn(2, 8, 8, 8)
    trunk = module.trunk_branches(module.first_residual_blocks(x))
    assert torch.allclose(module(x), module.last_blocks(factor * trunk), atol=1e-6)


@pytest.mark.parametrize("naming", [PARTS, NUMBERED])
@pytest.mark.parametrize("sizes", [(8, 4), (8, 4, 2), (8, 4, 2, 1)])
def test_every_parameter_of_an_attention_module_gets_a_gradient(sizes, naming):
    module = attention_module(sizes, naming)
    module(torch.randn(2, 8, 8, 8)).pow(2).sum().backward()
    silent = [name for name, parameter in module.named_parameters() if parameter.grad is None]
    assert silent == []


def test_the_naming_changes_names_and_nothing_else():
    named, numbered = attention_module((8, 4, 2)), attention_module((8, 4, 2), NUMBERED)
    shapes = [tuple(value.shape) for value in named.state_dict().values()]
    assert shapes == [tuple(value.shape) for value in numbered.state_dict().values()]
    assert list(named.state_dict()) != list(numbered.state_dict())
