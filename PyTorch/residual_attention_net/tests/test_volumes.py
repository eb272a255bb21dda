"""The same networks for volumes (B, C, D, H, W)."""

import dataclasses

import pytest

torch = pytest.importorskip("torch")

from common.core.errors import ZooError  # noqa: E402
from residual_attention_net.network.model import ResidualAttentionNetwork, build_network  # noqa: E402
from residual_attention_net.network.networks import NETWORKS  # noqa: E402

pytestmark = [pytest.mark.pytorch, pytest.mark.long]


def tiny_volume_network(num_classes=2):
    spec = dataclasses.replace(NETWORKS["small_16input"], input_size=8)
    return ResidualAttentionNetwork(spec, num_classes, spatial_dims=3, input_channels=1)


def balls_and_shells(count, seed):
    """Return noisy volumes of 8 pixels a side, full balls (0) and hollow ones (1), with labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    axis = torch.arange(8.0) - 3.5
    centres = torch.rand(count, 3, generator=generator) * 2 - 1
    squares = [(axis[None, :] - centres[:, i : i + 1]) ** 2 for i in range(3)]
    radius = (
        squares[0][:, :, None, None] + squares[1][:, None, :, None] + squares[2][:, None, None, :]
    ).sqrt()
    inside = (radius < 3.2) & ~((radius < 2.2) & (labels == 1)[:, None, None, None])
    noise = torch.rand(count, 8, 8, 8, generator=generator)
    return (0.6 * inside.float() + 0.4 * noise)[:, None], labels


@pytest.mark.parametrize("name", ["small_16input", "attention56_cifar", "92_32input"])
def test_a_volume_gives_logits(name):
    network = build_network(name, num_classes=4, spatial_dims=3, input_channels=1).eval()
    with torch.no_grad():
        logits = network(torch.rand((1,) + network.input_shape))
    assert logits.shape == (1, 4)


def test_entries_have_the_names_of_the_image_network_and_kernels_one_dimension_more():
    image = build_network("92_32input_update").state_dict()
    volume = build_network("92_32input_update", spatial_dims=3).state_dict()
    assert list(volume) == list(image)
    kernels = [name for name, value in image.items() if value.dim() == 4]
    assert all(volume[name].dim() == 5 for name in kernels)


def test_every_parameter_gets_a_gradient_that_is_finite():
    network = tiny_volume_network()
    network(torch.rand(2, 1, 8, 8, 8)).pow(2).sum().backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)


def test_the_gradient_is_the_slope_of_the_loss():
    torch.manual_seed(0)
    network = tiny_volume_network().double().eval()
    x = torch.rand(1, 1, 8, 8, 8, dtype=torch.float64, requires_grad=True)
    network(x)[0, 0].backward()
    direction = torch.randn_like(x)
    step = 1e-6 * direction
    with torch.no_grad():
        slope = (network(x + step)[0, 0] - network(x - step)[0, 0]) / 2e-6
    assert float(slope) == pytest.approx(float((x.grad * direction).sum()), rel=1e-4)


def test_masks_cover_the_volume():
    masks = tiny_volume_network().masks(torch.rand(1, 1, 8, 8, 8))
    assert [tuple(mask.shape) for mask in masks.values()] == [
        (1, 16, 8, 8, 8),
        (1, 32, 4, 4, 4),
        (1, 64, 2, 2, 2),
    ]


def test_an_image_given_to_a_volume_network_is_refused():
    with pytest.raises(ZooError, match=r"takes samples of shape \(1, 8, 8, 8\)"):
        tiny_volume_network()(torch.rand(2, 1, 8, 8))


def test_two_classes_of_volumes_are_told_apart_after_a_short_training():
    torch.manual_seed(0)
    network = tiny_volume_network()
    volumes, labels = balls_and_shells(64, seed=1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    for step in range(48):
        batch = slice(16 * (step % 4), 16 * (step % 4) + 16)
        loss = torch.nn.functional.cross_entropy(network(volumes[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    unseen, unseen_labels = balls_and_shells(32, seed=2)
    with torch.no_grad():
        found = network.eval()(unseen).argmax(1)
    assert float((found == unseen_labels).float().mean()) >= 0.9
