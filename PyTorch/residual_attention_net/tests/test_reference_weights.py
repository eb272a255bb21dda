"""Checkpoints of the reference and its port are loaded, and everything set aside is told."""

from collections import OrderedDict

import pytest

torch = pytest.importorskip("torch")

import fixture_weights as reference  # noqa: E402

from common.core.errors import ZooError  # noqa: E402
from common.training.torch.safe_load import safe_load  # noqa: E402
from residual_attention_net.network.model import build_network  # noqa: E402
from residual_attention_net.network.reference_weights import (  # noqa: E402
    load_reference_weights,
    recognise,
    state_dict_of,
)

pytestmark = pytest.mark.pytorch
SMALL = "small_16input"


def weights_of(name, seed=1, **options):
    torch.manual_seed(seed)
    return build_network(name, **options).state_dict()


def original_checkpoint(name):
    """Return a state_dict as the original writes it: shortcut weights in every block."""
    model = reference.reference_models()[name]
    shapes = dict(model.shapes)
    shapes.update(model.dead_in_original)
    return OrderedDict(reference.filled_state_dict(shapes))


def same(network, tensors, but=()):
    own = network.state_dict()
    return all(torch.equal(own[name], tensors[name]) for name in own if name not in but)


def renamed(tensors, prefix):
    return OrderedDict((prefix + name, value) for name, value in tensors.items())


@pytest.mark.parametrize("name", ["92_32input_update", "56"])
def test_the_originals_dead_shortcut_weights_are_dropped_by_name(name):
    tensors, network = original_checkpoint(name), build_network(name)
    report = load_reference_weights(network, tensors)
    assert set(report.dropped) == set(reference.reference_models()[name].dead_in_original)
    assert same(network, tensors)


def test_the_originals_file_holds_as_many_parameters_as_published():
    tensors = original_checkpoint("92_32input_update")
    trained = [
        value
        for name, value in tensors.items()
        if not name.endswith(reference.STATISTICS + (reference.COUNTER,))
    ]
    assert sum(value.numel() for value in trained) == 19920362


@pytest.mark.parametrize(
    "prefix",
    ["module.", "module.module.", "_orig_mod.", "model.", "module._orig_mod.", "net.module."],
)
def test_the_prefix_of_a_wrapper_is_stripped_and_told(prefix):
    tensors, network = weights_of(SMALL), build_network(SMALL)
    report = load_reference_weights(network, renamed(tensors, prefix))
    assert report.prefix_stripped == prefix
    assert f"stripped the prefix {prefix!r}" in report.lines()
    assert same(network, tensors)


def test_a_plain_checkpoint_is_loaded_whole_with_nothing_to_tell():
    tensors, network = weights_of(SMALL), build_network(SMALL)
    report = load_reference_weights(network, tensors)
    assert report.lines() == [f"loaded {len(tensors)} entries"]
    assert same(network, tensors)


def test_a_new_head_keeps_its_initialisation_and_everything_else_is_loaded():
    tensors, network = weights_of(SMALL, num_classes=10), build_network(SMALL, num_classes=4)
    head = network.fc.weight.detach().clone()
    report = load_reference_weights(network, tensors, replace_head=True)
    assert report.head_replaced == ("fc.weight", "fc.bias")
    assert "left at its initialisation, a new head (2): fc.weight, fc.bias" in report.lines()
    assert torch.equal(network.fc.weight, head)
    assert same(network, tensors, but=report.head_replaced)


def test_a_head_of_the_same_size_is_replaced_too_when_asked():
    tensors, network = weights_of(SMALL), build_network(SMALL)
    load_reference_weights(network, tensors, replace_head=True)
    assert not torch.equal(network.fc.weight, tensors["fc.weight"])


def test_another_class_count_without_a_new_head_says_both_counts():
    network = build_network(SMALL, num_classes=4)
    with pytest.raises(ZooError, match="has 10 classes, the network 4.*replace the head"):
        load_reference_weights(network, weights_of(SMALL))


def test_counters_that_an_old_torch_didnt_write_are_not_missed():
    tensors = OrderedDict(
        (name, value)
        for name, value in weights_of(SMALL).items()
        if not name.endswith("num_batches_tracked")
    )
    report = load_reference_weights(build_network(SMALL), tensors)
    assert "conv1.1.num_batches_tracked" in report.batch_counters_missing


def test_an_entry_missing_is_named_and_nothing_is_loaded():
    tensors, network = weights_of(SMALL), build_network(SMALL)
    before = network.conv1[0].weight.detach().clone()
    del tensors["residual_block2.bn1.weight"]
    with pytest.raises(ZooError, match=r"1 missing \(residual_block2.bn1.weight\).*damaged"):
        load_reference_weights(network, tensors)
    assert torch.equal(network.conv1[0].weight, before)


def test_at_most_three_names_of_a_kind_are_shown_on_one_line():
    tensors = OrderedDict((f"x{i}", torch.zeros(1)) for i in range(5))
    with pytest.raises(ZooError) as caught:
        load_reference_weights(build_network(SMALL), tensors)
    message = str(caught.value)
    assert "5 unexpected (x0, x1, x2, ...)" in message and "x3" not in message
    assert "no network known here" in message and "\n" not in message


@pytest.mark.parametrize("name", ["92_32input", "attention56_cifar", "92"])
def test_the_checkpoint_of_another_network_is_recognised(name):
    with pytest.raises(ZooError, match=f"it looks like network {name} with spatial_dims 2"):
        load_reference_weights(build_network("92_32input_update"), weights_of(name))


def test_a_volume_networks_checkpoint_is_told_from_the_image_networks():
    with pytest.raises(ZooError, match="looks like network small_16input with spatial_dims 3"):
        load_reference_weights(build_network(SMALL), weights_of(SMALL, spatial_dims=3))


@pytest.mark.parametrize(
    "name", ["attention92_cifar", "attention128_cifar", "56", "92", "448input"]
)
def test_a_network_is_told_from_a_longer_one_of_its_family(name):
    assert recognise(weights_of(name)) == (name, 2)


def test_other_input_channels_and_classes_are_still_the_same_network():
    assert recognise(weights_of(SMALL, num_classes=3, input_channels=1)) == (SMALL, 2)


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "net"])
def test_a_state_dict_is_found_inside_a_training_checkpoint(key):
    tensors, network = weights_of(SMALL), build_network(SMALL)
    loaded = {"epoch": 3, key: renamed(tensors, "module."), "optimizer": {}}
    report = load_reference_weights(network, loaded)
    assert same(network, tensors)
    told = f"taken from the checkpoint's {key!r}" in report.lines()
    assert told == (key in ("model_state_dict", "net"))


def test_a_profilers_counters_are_dropped_and_told():
    tensors, network = weights_of(SMALL), build_network(SMALL)
    counted = dict(renamed(tensors, "module."), total_ops=torch.zeros(1))
    counted["module.conv1.total_params"] = torch.zeros(1)
    report = load_reference_weights(network, counted)
    assert same(network, tensors) and report.prefix_stripped == "module."
    assert "dropped, a profiler's counters (2): total_ops, module.conv1.total_params" in (
        report.lines()
    )


@pytest.mark.parametrize("loaded", [None, [], {}, 3, {"epoch": 3}, {"state_dict": {"a": "b"}}])
def test_anything_else_is_refused_in_one_line(loaded):
    with pytest.raises(ZooError, match="holds no state_dict"):
        state_dict_of(loaded)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_file_of_the_originals_gives_the_references_logits(tmp_path, zipped):
    path = str(tmp_path / "original.pth")
    tensors = renamed(original_checkpoint("92_32input"), "module.")
    torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
    network = build_network("92_32input").eval()
    load_reference_weights(network, safe_load(path))
    case = [case for case in reference.cases() if case.variant == "92_32input"][0]
    with torch.no_grad():
        found = network(reference.network_input(case, torch.float32)).double().numpy()
    expected = reference.load_case(case)["eval_logits"]
    assert abs(found - expected).max() < 3 * 7e-7 * abs(expected).max()
