"""Parameters and operations are counted on the network itself."""

import pytest

torch = pytest.importorskip("torch")

import fixture_weights as reference  # noqa: E402

from residual_attention_net.network.complexity import count_parameters, measure_complexity  # noqa: E402
from residual_attention_net.network.model import build_network  # noqa: E402

pytestmark = pytest.mark.pytorch
PUBLISHED = {"attention92_cifar": 1.9e6, "attention236_cifar": 5.1e6, "attention452_cifar": 8.6e6}


@pytest.mark.parametrize("name", reference.VARIANTS)
def test_counts_are_the_references(name):
    expected = reference.reference_models()[name]
    found = measure_complexity(build_network(name))
    assert found.parameters == expected.parameters
    assert found.multiply_accumulates == expected.multiply_accumulates


@pytest.mark.parametrize("name, published", PUBLISHED.items())
def test_a_cifar_network_has_the_published_parameters_within_3_percent(name, published):
    assert count_parameters(build_network(name)) == pytest.approx(published, rel=0.03)


def test_counting_leaves_mode_and_statistics_as_they_were():
    network = build_network("small_16input").train()
    before = network.conv1[1].running_mean.clone()
    measure_complexity(network)
    assert network.training
    assert torch.equal(network.conv1[1].running_mean, before)


def test_a_volumes_operations_are_counted_too():
    image = measure_complexity(build_network("small_16input"))
    volume = measure_complexity(build_network("small_16input", spatial_dims=3))
    assert volume.multiply_accumulates > 10 * image.multiply_accumulates
