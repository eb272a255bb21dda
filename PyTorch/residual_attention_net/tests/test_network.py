"""The networks as data, their parts, and how the built ones behave, for images and volumes."""

from __future__ import annotations

import dataclasses

import fixture_weights as reference
import pytest
import torch

from common.core.errors import UsageError, ZooError
from residual_attention_net.network.blocks import (
    BLOCKS,
    LAYERS,
    AttentionModule,
    BasicBlock,
    PooledBlock,
    ResidualBlock,
)
from residual_attention_net.network.model import (
    ResidualAttentionNetwork,
    build_network,
    evaluating,
    measure_complexity,
)
from residual_attention_net.network.networks import (
    BASIC,
    BOTTLENECK,
    CIFAR_MODULES,
    NETWORKS,
    PARTS,
    identifying_shapes,
    mask_names,
    mask_sizes,
)

pytestmark = pytest.mark.pytorch
SMALL = "small_16input"
DIMENSIONS = pytest.mark.parametrize("spatial_dims", [2, 3])
KINDS = pytest.mark.parametrize("kind", BLOCKS.values())


def images(network, batch=2):
    return torch.rand((batch,) + network.input_shape)


def shapes_of(network):
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


# --- as data


@pytest.mark.parametrize("depth, modules", CIFAR_MODULES.items())
def test_a_cifar_network_is_as_deep_as_its_name_says(depth, modules):
    spec = NETWORKS[f"attention{depth}_cifar"]
    assert spec.depth == depth == 36 * modules + 20
    published = {92: 1.9e6, 236: 5.1e6, 452: 8.6e6}.get(depth)
    if published is not None:
        weights = build_network(spec.name).parameters()
        assert sum(one.numel() for one in weights) == pytest.approx(published, rel=0.03)


@pytest.mark.parametrize(
    "name, depth, stages, head",
    [
        ("92_32input_update", 92, (32, 16, 8), 8),
        ("92_32input", 92, (16, 8, 4), 4),
        ("56", 56, (56, 28, 14), 7),
        ("92", 92, (56, 28, 14), 7),
        ("448input", 107, (112, 56, 28, 14), 7),
        ("attention26_narrow", 26, (16, 8, 4), 4),
        ("attention26_basic", 26, (16, 8, 4), 4),
        ("attention32_basic", 32, (16, 8, 4), 4),
        ("attention14_pooled", 14, (16, 8, 4), 4),
    ],
)
def test_depth_and_sizes_follow_from_the_description(name, depth, stages, head):
    spec = NETWORKS[name]
    assert (spec.depth, spec.stage_sizes, spec.head_size) == (depth, stages, head)
    if spec.block == BOTTLENECK:  # every mask branch comes down to one size
        smallest = {mask_sizes(n, one.mask_depth)[-1] for n, one in zip(stages, spec.stages)}
        assert smallest == {head}


@DIMENSIONS
@pytest.mark.parametrize("name", NETWORKS)
def test_identifying_shapes_are_the_networks_and_no_other_has_them(name, spatial_dims):
    shapes = identifying_shapes(NETWORKS[name], spatial_dims)
    found = shapes_of(build_network(name, spatial_dims=spatial_dims))
    for entry, shape in shapes.items():
        own = found[entry]
        assert shape == (own[:1] + own[2:] if entry == "conv1.0.weight" else own)
    others = [spec for spec in NETWORKS.values() if spec.name != name]
    assert all(shapes != identifying_shapes(spec, spatial_dims) for spec in others)


# --- parts


@KINDS
@DIMENSIONS
@pytest.mark.parametrize("output_channels, stride", [(8, 1), (8, 2), (16, 1), (16, 2)])
def test_a_block_has_a_shortcut_weight_where_its_shape_changes_and_leaves_its_input(
    spatial_dims, output_channels, stride, kind
):
    block = kind(LAYERS[spatial_dims], 8, output_channels, stride)
    x = torch.rand((2, 8) + (6,) * spatial_dims)
    before = x.clone()
    assert block(x).shape == (2, output_channels) + (6 // stride,) * spatial_dims
    assert torch.equal(x, before)
    changes = output_channels != 8 or (stride != 1 and kind is not PooledBlock)
    assert ("conv4.weight" in block.state_dict()) == changes


def test_a_basic_block_is_two_3x3_convolutions_beside_its_input():
    block = BasicBlock(LAYERS[2], 8, 8)
    x = torch.randn(2, 8, 5, 5)
    expected = block.conv2(torch.relu(block.bn2(block.conv1(torch.relu(block.bn1(x)))))) + x
    assert torch.allclose(block(x), expected, atol=1e-6)
    assert block.conv1.kernel_size == block.conv2.kernel_size == (3, 3)


def test_a_pooled_block_keeps_the_largest_of_each_2x2_after_its_first_convolution():
    block, x = PooledBlock(LAYERS[2], 8, 16, 2), torch.randn(2, 8, 6, 6)
    activated = torch.relu(block.bn1(x))
    first = torch.max_pool2d(block.conv1(activated), 2)
    beside = block.conv4(torch.max_pool2d(activated, 2))
    expected = block.conv2(torch.relu(block.bn2(first))) + beside
    assert torch.allclose(block(x), expected, atol=1e-6)


def test_an_attention_module_of_basic_blocks_has_no_other():
    names = mask_names(PARTS, 2)
    module = AttentionModule(LAYERS[2], 8, (8, 4, 2), names, BASIC, trunk_blocks=1)
    # p + t + p, and in the mask branch down, skip, two in the middle, up.
    assert [type(part) for part in module.modules()].count(BasicBlock) == 3 + 5
    assert not any(isinstance(part, ResidualBlock) for part in module.modules())


# --- built


@pytest.mark.parametrize("name", reference.VARIANTS)
def test_names_shapes_order_and_counts_are_the_references(name):
    expected, network = reference.reference_models()[name], build_network(name)
    assert list(shapes_of(network).items()) == list(expected.shapes.items())
    found = measure_complexity(network.train())
    assert network.training
    assert found.parameters == expected.parameters
    assert found.multiply_accumulates == expected.multiply_accumulates


@pytest.mark.parametrize(
    "name, spatial_dims", [(SMALL, 2), (SMALL, 3), ("attention56_cifar", 2), ("92_32input", 2)]
)
def test_no_parameter_is_without_a_gradient(name, spatial_dims):
    network = build_network(name, 7, spatial_dims, input_channels=1)
    logits = network(images(network))
    assert logits.shape == (2, 7)
    logits.pow(2).sum().backward()
    assert [n for n, parameter in network.named_parameters() if parameter.grad is None] == []


def test_masks_come_by_module_in_order_and_are_those_that_the_forward_pass_uses():
    network, used = build_network("92_32input").eval(), []
    network.attention_module3_3.gate[6].register_forward_hook(lambda *call: used.append(call[2]))
    x = images(network)
    masks = network.masks(x)
    modules = ["1", "2", "2_2", "3", "3_2", "3_3"]
    assert list(masks) == [f"attention_module{module}" for module in modules]
    assert masks["attention_module1"].shape == (2, 128, 16, 16)
    assert masks["attention_module3_3"].shape == (2, 512, 4, 4)
    assert all(mask.min() >= 0 and mask.max() <= 1 for mask in masks.values())
    network(x)
    assert torch.equal(masks["attention_module3_3"], used[1])


def test_asking_for_masks_leaves_mode_statistics_and_hooks_as_they_were():
    network = build_network(SMALL).train()
    network.conv1.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.masks(images(network))
    with pytest.raises(RuntimeError), evaluating(network):
        assert not network.training
        raise RuntimeError
    assert network.training and not network.conv1.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network.attention_module1.gate._forward_hooks


@pytest.mark.parametrize(
    "name, options, told",
    [
        ("93", {}, "no network '93'.*92_32input_update.*attention452_cifar"),
        (SMALL, {"spatial_dims": 1}, "spatial_dims 1"),
        (SMALL, {"num_classes": 0}, "num_classes 0"),
        (SMALL, {"input_channels": 0}, "input_channels 0"),
    ],
)
def test_what_makes_no_network_is_refused(name, options, told):
    with pytest.raises(UsageError, match=told):
        build_network(name, **options)


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (2, 1, 16, 16), (3, 16, 16)])
def test_an_input_of_another_shape_is_refused_with_the_shape_expected(shape):
    with pytest.raises(ZooError, match=r"small_16input takes samples of shape \(3, 16, 16\)"):
        build_network(SMALL)(torch.rand(shape))


def test_channels_last_and_bfloat16_give_nearly_the_same_logits():
    network = build_network(SMALL).eval()
    x = images(network)
    expected = network(x)
    last = network.to(memory_format=torch.channels_last)
    assert torch.allclose(last(x.to(memory_format=torch.channels_last)), expected, atol=1e-5)
    if not hasattr(torch, "autocast"):
        return  # needs torch 1.10
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = network(x).float()
    found.sum().backward()
    assert torch.allclose(found, expected, atol=0.05 * float(expected.detach().abs().max()))
    assert network.fc.weight.grad.dtype is torch.float32


# --- volumes


def tiny_volume_network(num_classes=2):
    spec = dataclasses.replace(NETWORKS[SMALL], input_size=8)
    return ResidualAttentionNetwork(spec, num_classes, spatial_dims=3, input_channels=1)


def test_a_volume_network_has_the_image_networks_names_and_kernels_of_one_dimension_more():
    image, volume = (build_network("92_32input_update", spatial_dims=dims) for dims in (2, 3))
    shapes = shapes_of(volume)
    assert list(shapes) == list(shapes_of(image))
    kernels = [name for name, shape in shapes_of(image).items() if len(shape) == 4]
    assert all(len(shapes[name]) == 5 for name in kernels)
    masks = tiny_volume_network().masks(torch.rand(1, 1, 8, 8, 8))
    assert [tuple(mask.shape)[1:3] for mask in masks.values()] == [(16, 8), (32, 4), (64, 2)]


def test_the_gradient_of_a_volume_network_is_the_slope_of_the_loss():
    torch.manual_seed(0)
    network = tiny_volume_network().double().eval()
    x = torch.rand(1, 1, 8, 8, 8, dtype=torch.float64, requires_grad=True)
    network(x)[0, 0].backward()
    direction = torch.randn_like(x)
    step = 1e-6 * direction
    with torch.no_grad():
        slope = (network(x + step)[0, 0] - network(x - step)[0, 0]) / 2e-6
    assert float(slope) == pytest.approx(float((x.grad * direction).sum()), rel=1e-4)
