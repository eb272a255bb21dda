"""The baseline computes what the reference computes, so a ratio to it means something."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Dict, Tuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks.residual_attention_net import baseline  # noqa: E402

pytestmark = [pytest.mark.pytorch, pytest.mark.long]

COMPACT = (
    Path(__file__).resolve().parents[2]
    / "tests"
    / "fixtures"
    / "residual_attention_net"
    / "92_32input_update.npz"
)
# Float64 results agree to rounding; the compact fixtures keep running statistics in float32.
EXACT = 1e-6
# Three times the distance between correct float32 runs that the fixtures' README states.
FLOAT32_LOGITS = 3 * 7e-7
SGD_LEARNING_RATE = 0.001


@pytest.fixture(scope="module")
def reference() -> Dict[str, np.ndarray]:
    with np.load(str(COMPACT), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def filled_value(name: str, shape: Tuple[int, ...]) -> np.ndarray:
    """One state_dict entry under the fill rule of the fixtures."""
    normal = np.random.RandomState(zlib.crc32(name.encode()) & 0xFFFFFFFF).standard_normal(shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_var"):
        return np.float32(1 + 0.1 * np.abs(normal))
    if name.endswith(("bias", "running_mean")):
        return np.float32(0.05 * normal)
    if len(shape) == 1:
        return np.float32(1 + 0.1 * normal)
    return np.float32(normal * np.sqrt(1 / np.prod(shape[1:])))


def filled_network(dtype: torch.dtype) -> baseline.BaselineNetwork:
    network = baseline.BaselineNetwork()
    network.load_state_dict(
        {
            name: torch.as_tensor(filled_value(name, tuple(entry.shape)))
            for name, entry in network.state_dict().items()
        }
    )
    return network.to(dtype)


def inputs(reference: Dict[str, np.ndarray], dtype: torch.dtype) -> torch.Tensor:
    images = [baseline.to_tensor(image) for image in reference["input_uint8"]]
    return torch.stack(images).to(dtype)


def relative_distance(found: torch.Tensor, expected: np.ndarray) -> float:
    distance = np.abs(found.detach().double().numpy() - expected).max()
    return float(distance / np.abs(expected).max())


@pytest.mark.parametrize(
    "dtype, allowed", [(torch.float64, EXACT), (torch.float32, FLOAT32_LOGITS)]
)
def test_evaluation_logits_are_the_references(reference, dtype, allowed):
    network = filled_network(dtype).eval()
    with torch.no_grad():
        logits = network(inputs(reference, dtype))
    assert relative_distance(logits, reference["eval_logits"]) < allowed


@pytest.fixture(scope="module")
def first_step(reference):
    """Loss, logits, gradients, statistics and weight changes of one float64 training step."""
    network = filled_network(torch.float64).train()
    before = [parameter.detach().clone() for parameter in network.parameters()]
    logits = network(inputs(reference, torch.float64))
    loss = torch.nn.functional.cross_entropy(logits, torch.as_tensor(reference["labels"]))
    loss.backward()
    gradients = torch.stack([parameter.grad.norm() for parameter in network.parameters()])
    baseline.build_optimizer(network, SGD_LEARNING_RATE).step()
    changes = torch.stack(
        [(now.detach() - old).norm() for now, old in zip(network.parameters(), before)]
    )
    statistics = torch.cat(
        [entry.flatten() for name, entry in network.state_dict().items() if "running_" in name]
    )
    return {
        "train_logits": logits,
        "train_loss": loss,
        "gradnorm": gradients,
        "sgd1_dnorm": changes,
        "bn1": statistics,
    }


@pytest.mark.parametrize("quantity", ["train_logits", "train_loss", "bn1"])
def test_float64_training_pass_is_the_references(first_step, reference, quantity):
    assert relative_distance(first_step[quantity], reference[quantity]) < EXACT


@pytest.mark.parametrize("quantity", ["gradnorm", "sgd1_dnorm"])
def test_every_parameters_gradient_and_change_is_the_references(first_step, reference, quantity):
    np.testing.assert_allclose(
        first_step[quantity].detach().numpy(), reference[quantity], rtol=EXACT, atol=1e-12
    )


def test_three_float64_steps_follow_the_references_losses(reference):
    network = filled_network(torch.float64).train()
    optimizer = baseline.build_optimizer(network, SGD_LEARNING_RATE)
    images, labels = inputs(reference, torch.float64), torch.as_tensor(reference["labels"])
    losses = [baseline.training_step(network, optimizer, images, labels).item() for _ in range(3)]
    np.testing.assert_allclose(losses, reference["traj_loss"], rtol=EXACT)


def test_to_tensor_scales_as_the_reference_does():
    image = np.arange(256, dtype=np.uint8).repeat(12).reshape(32, 32, 3)
    tensor = baseline.to_tensor(image)
    assert tensor.shape == (3, 32, 32) and tensor.dtype == torch.float32
    assert torch.equal(tensor[0], torch.as_tensor(np.float32(image[:, :, 0]) / np.float32(255)))


def test_a_cropped_image_is_a_window_of_the_padded_one():
    image = np.random.RandomState(0).randint(1, 256, (32, 32, 3)).astype(np.uint8)
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="constant")
    windows = {
        padded[top : top + 32, left : left + 32].tobytes() for top in range(9) for left in range(9)
    }
    torch.manual_seed(0)
    found = {baseline.random_crop(image).tobytes() for _ in range(40)}
    assert found <= windows and len(found) > 10


def test_loader_gives_full_shuffled_batches():
    images = np.zeros((10, 32, 32, 3), np.uint8)
    loader = baseline.build_loader(images, np.arange(10), batch_size=4, workers=0)
    batches = list(loader)
    assert [tuple(batch.shape) for batch, _ in batches] == [(4, 3, 32, 32)] * 2
    assert len(set(torch.cat([labels for _, labels in batches]).tolist())) == 8
