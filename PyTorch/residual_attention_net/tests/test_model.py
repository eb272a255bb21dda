"""Networks built from their descriptions: the reference's names and shapes, and how they behave."""

import io

import pytest

torch = pytest.importorskip("torch")

import fixture_weights as reference  # noqa: E402

from common.core.errors import UsageError, ZooError  # noqa: E402
from residual_attention_net.network.model import build_network, evaluating  # noqa: E402
from residual_attention_net.network.networks import NETWORKS, identifying_shapes  # noqa: E402

pytestmark = pytest.mark.pytorch
SMALL = "small_16input"


def images(network, batch=2):
    return torch.rand((batch,) + network.input_shape)


def shapes_of(network):
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


@pytest.mark.parametrize("name", reference.VARIANTS)
def test_entries_have_the_references_names_and_shapes_in_its_order(name):
    found = shapes_of(build_network(name))
    assert list(found.items()) == list(reference.reference_models()[name].shapes.items())


# Building takes no input: a volume of 224 pixels a side is past any machine, its weights are not.
@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_identifying_shapes_are_shapes_the_network_has(name, spatial_dims):
    found = shapes_of(build_network(name, spatial_dims=spatial_dims))
    for entry, shape in identifying_shapes(NETWORKS[name], spatial_dims).items():
        own = found[entry]
        assert shape == (own[:1] + own[2:] if entry == "conv1.0.weight" else own)


def test_logits_have_a_value_per_sample_and_class():
    network = build_network(SMALL, num_classes=7)
    assert network(images(network, 3)).shape == (3, 7)


def test_grey_images_are_taken_where_the_network_is_built_for_them():
    network = build_network(SMALL, input_channels=1)
    assert network(torch.rand(2, 1, 16, 16)).shape == (2, 10)


@pytest.mark.parametrize("name", [SMALL, "attention56_cifar", "92_32input_update", "92_32input"])
def test_no_parameter_is_without_a_gradient(name):
    network = build_network(name)
    network(images(network)).pow(2).sum().backward()
    assert [n for n, parameter in network.named_parameters() if parameter.grad is None] == []


def test_masks_come_by_module_in_order_between_0_and_1():
    network = build_network("92_32input")
    masks = network.masks(images(network))
    assert list(masks) == [
        "attention_module1",
        "attention_module2",
        "attention_module2_2",
        "attention_module3",
        "attention_module3_2",
        "attention_module3_3",
    ]
    assert masks["attention_module1"].shape == (2, 128, 16, 16)
    assert masks["attention_module3_3"].shape == (2, 512, 4, 4)
    assert all(mask.min() >= 0 and mask.max() <= 1 for mask in masks.values())


def test_masks_are_those_the_forward_pass_uses():
    network = build_network(SMALL).eval()
    x = images(network)
    expected = []
    module = network.attention_module1
    module.gate[6].register_forward_hook(lambda gate, inputs, output: expected.append(output))
    network(x)
    assert torch.equal(network.masks(x)["attention_module1"], expected[0])


def test_asking_for_masks_leaves_mode_statistics_and_hooks_as_they_were():
    network = build_network(SMALL).train()
    network.conv1.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.masks(images(network))
    assert network.training and not network.conv1.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network.attention_module1.gate._forward_hooks


def test_evaluating_restores_each_modules_mode_even_after_an_error():
    network = build_network(SMALL).train()
    network.conv1.eval()
    with pytest.raises(RuntimeError), evaluating(network):
        assert not network.training
        raise RuntimeError
    assert network.training and not network.conv1.training


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match="no network '93'.*92_32input_update.*attention452_cifar"):
        build_network("93")


@pytest.mark.parametrize(
    "options", [{"spatial_dims": 1}, {"num_classes": 0}, {"input_channels": 0}]
)
def test_a_count_that_makes_no_network_is_refused(options):
    with pytest.raises(UsageError):
        build_network(SMALL, **options)


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (2, 1, 16, 16), (2, 3, 16), (3, 16, 16)])
def test_an_input_of_another_shape_is_refused_with_the_shape_expected(shape):
    network = build_network(SMALL)
    with pytest.raises(ZooError, match=r"small_16input takes samples of shape \(3, 16, 16\)"):
        network(torch.rand(shape))


def test_channels_last_gives_the_same_logits():
    network = build_network(SMALL).eval()
    x = images(network)
    expected = network(x)
    network = network.to(memory_format=torch.channels_last)
    found = network(x.to(memory_format=torch.channels_last))
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.skipif(not hasattr(torch, "autocast"), reason="autocast on the CPU needs torch 1.10")
def test_bfloat16_autocast_trains_and_stays_near_float32():
    torch.manual_seed(0)
    network = build_network(SMALL).eval()
    x = images(network)
    expected = network(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = network(x)
    found.float().sum().backward()
    assert torch.allclose(found.float(), expected, atol=0.05 * float(expected.detach().abs().max()))
    assert network.fc.weight.grad.dtype is torch.float32


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_network_traced_without_warnings_gives_the_same_logits_once_loaded(spatial_dims, recwarn):
    network = build_network(SMALL, spatial_dims=spatial_dims).eval()
    x = images(network)
    stored = io.BytesIO()
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(network, x), stored)
        stored.seek(0)
        other = images(network, 3)
        assert torch.allclose(torch.jit.load(stored)(other), network(other), atol=1e-6)
    assert not [warning for warning in recwarn if "TracerWarning" in str(warning.category)]
