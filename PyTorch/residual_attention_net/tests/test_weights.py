"""Checkpoints of the reference and its port are loaded, and everything set aside is told."""

from __future__ import annotations

import fixture_weights as reference
import pytest
import torch

from common.core.errors import ZooError
from common.training.torch.safe_load import safe_load
from residual_attention_net.network.model import build_network
from residual_attention_net.network.weights import (
    load_reference_weights,
    recognise,
)

pytestmark = pytest.mark.pytorch
SMALL = "small_16input"


def weights_of(name=SMALL, **options):
    torch.manual_seed(1)
    return build_network(name, **options).state_dict()


def original_checkpoint(name):
    """A state_dict as the original writes it: shortcut weights in every block."""
    model = reference.reference_models()[name]
    return reference.filled_state_dict({**model.shapes, **model.dead_in_original})


def same(network, tensors, but=()):
    own = network.state_dict()
    return all(torch.equal(own[name], tensors[name]) for name in own if name not in but)


def renamed(tensors, prefix):
    return {prefix + name: value for name, value in tensors.items()}


@pytest.mark.parametrize("name", ["92_32input_update", "56"])
def test_the_originals_dead_shortcut_weights_are_dropped_by_name(name):
    tensors, network = original_checkpoint(name), build_network(name)
    dead = reference.reference_models()[name].dead_in_original
    told = load_reference_weights(network, tensors)
    assert told[1].startswith(f"dropped, no forward pass uses them ({len(dead)}): ")
    assert set(told[1].split(": ")[1].split(", ")) == set(dead)
    assert same(network, tensors)


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda tensors: tensors, []),
        (lambda tensors: {"state_dict": renamed(tensors, "module."), "epoch": 3}, ["'module.'"]),
        (lambda tensors: {"model": tensors, "optimizer": {}}, []),
        (lambda tensors: {"model_state_dict": tensors}, ["checkpoint's 'model_state_dict'"]),
        (
            lambda tensors: {"net": renamed(tensors, "module.module.")},
            ["checkpoint's 'net'", "prefix 'module.module.'"],
        ),
        (lambda tensors: renamed(tensors, "_orig_mod."), ["prefix '_orig_mod.'"]),
        (lambda tensors: renamed(tensors, "module._orig_mod."), ["prefix 'module._orig_mod.'"]),
        (lambda tensors: renamed(tensors, "net.module."), ["prefix 'net.module.'"]),
        (
            lambda tensors: {
                **renamed(tensors, "module."),
                "total_ops": torch.zeros(1),
                "module.conv1.total_params": torch.zeros(1),
            },
            ["'module.'", "profiler's counters (2): total_ops, module.conv1.total_params"],
        ),
    ],
)
def test_what_wrappers_add_is_taken_off_and_told(change, told):
    tensors, network = weights_of(), build_network(SMALL)
    lines = load_reference_weights(network, change(tensors))
    assert lines[0] == f"loaded {len(tensors)} entries" and len(lines) == 1 + len(told)
    assert all(part in line for part, line in zip(told, lines[1:]))
    assert same(network, tensors)


@pytest.mark.parametrize("classes", [4, 10])
def test_a_new_head_keeps_its_initialisation_and_everything_else_is_loaded(classes):
    tensors, network = weights_of(), build_network(SMALL, num_classes=classes)
    head = network.fc.weight.detach().clone()
    told = load_reference_weights(network, tensors, replace_head=True)
    assert "left at its initialisation, a new head (2): fc.weight, fc.bias" in told
    assert torch.equal(network.fc.weight, head)
    assert same(network, tensors, but=("fc.weight", "fc.bias"))


def without(tensors, name):
    return {key: value for key, value in tensors.items() if key != name}


@pytest.mark.parametrize(
    "tensors, told",
    [
        (lambda: weights_of(num_classes=4), "has 4 classes, the network 10.*replace the head"),
        (
            lambda: without(weights_of(), "residual_block2.bn1.weight"),
            r"1 missing \(residual_block2.bn1.weight\).*damaged",
        ),
        (
            lambda: {f"x{i}": torch.zeros(1) for i in range(5)},
            r"5 unexpected \(x0, x1, x2, \.\.\.\); it looks like no network known here",
        ),
        (lambda: weights_of("92_32input"), "looks like network 92_32input with spatial_dims 2"),
        (
            lambda: weights_of(spatial_dims=3),
            "looks like network small_16input with spatial_dims 3",
        ),
    ],
)
def test_what_does_not_fit_is_one_line_and_nothing_is_loaded(tensors, told):
    network = build_network(SMALL)
    before = network.conv1[0].weight.detach().clone()
    with pytest.raises(ZooError, match=told) as caught:
        load_reference_weights(network, tensors())
    assert "\n" not in str(caught.value) and torch.equal(network.conv1[0].weight, before)


@pytest.mark.parametrize(
    "name", ["attention92_cifar", "attention128_cifar", "56", "92", "448input"]
)
def test_a_network_is_told_from_a_longer_one_of_its_family(name):
    assert recognise(weights_of(name, num_classes=3, input_channels=1)) == (name, 2)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_file_of_the_originals_gives_the_references_logits(tmp_path, zipped):
    path = str(tmp_path / "original.pth")
    tensors = renamed(original_checkpoint("92_32input"), "module.")
    torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
    network = build_network("92_32input").eval()
    load_reference_weights(network, safe_load(path))
    with torch.no_grad():
        found = network(reference.network_input("92_32input", torch.float32)).double().numpy()
    expected = reference.load_case("92_32input")["eval_logits"]
    assert abs(found - expected).max() < 3 * 7e-7 * abs(expected).max()
