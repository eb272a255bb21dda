"""The baseline computes what the reference computes, so a ratio to it means something."""

from __future__ import annotations

from typing import Any, Dict

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks.residual_attention_net import baseline  # noqa: E402
from residual_attention_net.tests import fixture_weights as reference  # noqa: E402

pytestmark = [pytest.mark.pytorch, pytest.mark.long]

CASE = "92_32input_update"
# Float64 results agree to rounding; the compact fixtures keep running statistics in float32.
EXACT = 1e-6
# Three times the distance between correct float32 runs that the fixtures' README states.
FLOAT32_LOGITS = 3 * 7e-7


@pytest.fixture(scope="module")
def expected() -> Dict[str, Any]:
    return reference.load_case(CASE)


def filled_network(dtype: torch.dtype) -> baseline.BaselineNetwork:
    return reference.fill_network(baseline.BaselineNetwork()).to(dtype)


def relative_distance(found: Any, expected: Any) -> float:
    return float(np.abs(np.asarray(found) - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(
    "dtype, allowed", [(torch.float64, EXACT), (torch.float32, FLOAT32_LOGITS)]
)
def test_evaluation_logits_are_the_references(expected, dtype, allowed):
    with torch.no_grad():
        logits = filled_network(dtype).eval()(reference.network_input(CASE, dtype))
    assert relative_distance(logits.double(), expected["eval_logits"]) < allowed


def test_three_float64_steps_follow_the_references_logits_losses_gradients_and_changes(expected):
    images = reference.network_input(CASE, torch.float64)
    logits = filled_network(torch.float64).train()(images).detach()
    assert relative_distance(logits, expected["train_logits"]) < EXACT
    network = filled_network(torch.float64).train()
    optimizer = baseline.build_optimizer(network, 0.001)
    labels = torch.as_tensor(expected["labels"])
    before = {name: one.detach().clone() for name, one in network.named_parameters()}
    losses = [baseline.training_step(network, optimizer, images, labels).item()]
    for name, one in network.named_parameters():
        changed = {"gradnorm": one.grad, "sgd1_dnorm": one.detach() - before[name]}
        for quantity, found in changed.items():
            wanted = pytest.approx(expected[quantity][name], rel=EXACT, abs=1e-12)
            assert float(found.norm()) == wanted, (quantity, name)
    for name, value in network.state_dict().items():
        if "running_" in name:
            assert relative_distance(value, expected["bn1"][name]) < EXACT
    for _ in range(2):
        losses.append(baseline.training_step(network, optimizer, images, labels).item())
    np.testing.assert_allclose(losses, expected["traj_loss"], rtol=EXACT)


def test_an_image_becomes_a_scaled_window_of_its_padded_self_mirrored_or_not():
    image = np.random.RandomState(0).randint(1, 256, (32, 32, 3)).astype(np.uint8)
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="constant")
    windows = [padded[top : top + 32, left : left + 32] for top in range(9) for left in range(9)]
    possible = {one.tobytes() for window in windows for one in (window, window[:, ::-1])}
    torch.manual_seed(0)
    dataset = baseline.TransformedImages(image[np.newaxis], np.zeros(1, np.int64))
    found = [dataset[0][0] for _ in range(40)]
    assert found[0].dtype == torch.float32 and found[0].shape == (3, 32, 32)
    back = {(one * 255).round().byte().permute(1, 2, 0).numpy().tobytes() for one in found}
    assert back <= possible and len(back) > 10


def test_loader_gives_full_shuffled_batches():
    images = np.zeros((10, 32, 32, 3), np.uint8)
    loader = baseline.build_loader(images, np.arange(10), batch_size=4, workers=0)
    batches = list(loader)
    assert [tuple(batch.shape) for batch, _ in batches] == [(4, 3, 32, 32)] * 2
    assert len(set(torch.cat([labels for _, labels in batches]).tolist())) == 8
