"""The networks' descriptions; no framework is needed."""

import dataclasses

import pytest

from residual_attention_net.network.networks import (
    BOTTLENECK,
    DEFAULT_NETWORK,
    NETWORKS,
    NUMBERED,
    PARTS,
    attention_module_name,
    identifying_shapes,
    mask_names,
    mask_sizes,
    reduced,
)

REFERENCE = ["92_32input_update", "92_32input", "56", "92", "448input"]
CIFAR = {56: 1, 92: 2, 128: 3, 164: 4, 236: 6, 452: 12}


def test_the_references_networks_and_the_papers_are_there():
    cifar = [f"attention{depth}_cifar" for depth in CIFAR]
    assert list(NETWORKS)[:11] == REFERENCE + cifar


def test_the_default_is_the_references_own_choice():
    assert DEFAULT_NETWORK == "92_32input_update"


@pytest.mark.parametrize("depth, modules", CIFAR.items())
def test_a_cifar_network_is_as_deep_as_its_name_says(depth, modules):
    spec = NETWORKS[f"attention{depth}_cifar"]
    assert spec.depth == depth == 36 * modules + 20
    assert [stage.modules for stage in spec.stages] == [modules] * 3


@pytest.mark.parametrize("name, depth", [("92_32input_update", 92), ("92", 92), ("56", 56)])
def test_a_reference_network_is_as_deep_as_its_name_says(name, depth):
    assert NETWORKS[name].depth == depth


@pytest.mark.parametrize(
    "name, stages, head",
    [
        ("92_32input_update", (32, 16, 8), 8),
        ("92_32input", (16, 8, 4), 4),
        ("56", (56, 28, 14), 7),
        ("92", (56, 28, 14), 7),
        ("448input", (112, 56, 28, 14), 7),
    ],
)
def test_the_sizes_follow_from_the_input_and_the_strides(name, stages, head):
    assert NETWORKS[name].stage_sizes == stages
    assert NETWORKS[name].head_size == head


@pytest.mark.parametrize(
    "name, depth",
    [("attention26_narrow", 26), ("attention26_basic", 26), ("attention32_basic", 32)],
)
def test_a_basic_network_has_two_layers_a_unit_and_as_many_as_its_name_says(name, depth):
    spec = NETWORKS[name]
    assert spec.depth == depth == 1 + 2 * 3 * (1 + 1 + spec.trunk_blocks + 1) + 1
    assert (spec.stage_sizes, spec.head_size) == ((16, 8, 4), 4)


@pytest.mark.parametrize("name", [name for name in NETWORKS if NETWORKS[name].block == BOTTLENECK])
def test_every_mask_branch_comes_down_to_the_same_size(name):
    spec = NETWORKS[name]
    smallest = {
        mask_sizes(size, stage.mask_depth)[-1] for size, stage in zip(spec.stage_sizes, spec.stages)
    }
    assert smallest == {spec.head_size}


@pytest.mark.parametrize("name", NETWORKS)
def test_channels_divide_into_the_bottlenecks_quarters(name):
    spec = NETWORKS[name]
    assert all(part.channels % 4 == 0 for part in spec.stages + (spec.head,))


def test_a_description_can_be_changed_but_not_in_place():
    spec = NETWORKS["small_16input"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.input_size = 32
    assert dataclasses.replace(spec, input_size=32).stage_sizes == (32, 16, 8)


@pytest.mark.parametrize("size, stride, expected", [(32, 1, 32), (32, 2, 16), (7, 2, 4), (1, 2, 1)])
def test_a_stride_rounds_up(size, stride, expected):
    assert reduced(size, stride) == expected


def test_the_parts_of_a_mask_are_named_for_what_they_do():
    names = mask_names(PARTS, 2)
    assert names.down == ("down_residual_blocks1",)
    assert names.skip == ("skip1_connection_residual_block",)
    assert (names.middle, names.gate) == ("middle_2r_blocks", "conv1_1_blocks")
    assert names.up == ("up_residual_blocks1",)


def test_or_numbered_in_the_order_they_run():
    names = mask_names(NUMBERED, 3)
    assert names.down == ("softmax1_blocks", "softmax2_blocks")
    assert names.middle == "softmax3_blocks"
    assert names.up == ("softmax5_blocks", "softmax4_blocks")
    assert names.gate == "softmax6_blocks"


def test_the_second_module_of_a_stage_is_named_after_the_first():
    assert attention_module_name(3, 1) == "attention_module3"
    assert attention_module_name(3, 2) == "attention_module3_2"


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_no_two_networks_have_the_same_identifying_shapes(spatial_dims):
    shapes = [identifying_shapes(spec, spatial_dims) for spec in NETWORKS.values()]
    assert all(first != second for i, first in enumerate(shapes) for second in shapes[:i])
