"""The networks compute what the reference does: outputs, losses, gradients, statistics, steps."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Dict

import fixture_weights as reference
import numpy
import pytest
import torch
from torch.nn import functional

from residual_attention_net.network.model import build_network

pytestmark = [pytest.mark.pytorch, pytest.mark.long]

every_case = pytest.mark.parametrize("case", reference.VARIANTS)
# Float64 results agree to rounding; the compact fixtures keep running statistics in float32.
EXACT = 1e-6
# How far apart correct float32 runs are, as tests/fixtures/README.md says; three times is accepted.
# Batch norm over one or four images magnifies rounding, the more so the larger the network.
FLOAT32_DISTANCES = {  # networks for 32 pixels, for more
    "eval_logits": (7e-7, 7e-7),
    "eval_loss": (2e-6, 2e-6),
    "eval_act": (5e-7, 7e-7),
    "eval_actdot": (2e-6, 2e-6),
    "eval_gradnorm": (7e-4, 1e-3),
    "train_logits": (1e-5, 8e-5),
    "train_loss": (2e-6, 4e-5),
    "train_act": (2e-5, 5e-5),
    "train_actdot": (1.1e-4, 2.6e-4),
    "bn1": (1.1e-5, 8e-5),
}
QUANTITIES = {
    "eval": ("logits", "loss", "act", "actdot", "gradnorm"),
    "train": ("logits", "loss", "act", "actdot", "bn1"),
}


def accepted(case: str, quantity: str) -> float:
    """Return the largest distance from the float64 reference that a float32 run may have."""
    return 3 * FLOAT32_DISTANCES[quantity]["32input" not in case]


def filled_network(case: str, dtype: Any, training: bool) -> Any:
    return reference.fill_network(build_network(case)).to(dtype).train(training)


def loss_of(network: Any, case: str, dtype: Any) -> Any:
    labels = torch.from_numpy(reference.load_case(case)["labels"])
    logits = network(reference.network_input(case, dtype))
    return logits, functional.cross_entropy(logits, labels)


@lru_cache(maxsize=None)
def outcome(case: str, dtype: Any, training: bool) -> Dict[str, Any]:
    """What one forward and backward pass gives, by the fixtures' names; the tests share it."""
    network = filled_network(case, dtype, training)
    act, actdot = {}, {}

    def summarise(name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            values = output.detach().double().numpy()
            act[name] = numpy.array([values.mean(), values.std(), numpy.abs(values).max()])
            projected = reference.projection(name, values[0])
            actdot[name] = projected / numpy.sqrt(values[0].size)

        return hook

    for name, child in network.named_children():
        child.register_forward_hook(summarise(name))
    logits, loss = loss_of(network, case, dtype)
    loss.backward()
    gradients = {name: p.grad.double().numpy() for name, p in network.named_parameters()}
    return {
        "logits": logits.detach().double().numpy(),
        "loss": loss.item(),
        "act": act,
        "actdot": actdot,
        "gradnorm": {name: float(numpy.linalg.norm(one)) for name, one in gradients.items()},
        "graddot": {name: reference.projection(name, one) for name, one in gradients.items()},
        "bn1": {
            name: value.double().numpy()
            for name, value in network.state_dict().items()
            if name.endswith(reference.STATISTICS)
        },
    }


def distance(found: Any, expected: Any, scale: Any = None) -> float:
    """Return the largest difference relative to the largest expected value, by name the largest.

    Args:
        scale: what projections are relative to, by name.
    """
    if isinstance(expected, dict):
        assert set(found) == set(expected)
        if scale is not None:
            return max(abs(found[name] - expected[name]) / scale[name] for name in expected)
        return max(distance(found[name], expected[name]) for name in expected)
    expected = numpy.asarray(expected, numpy.float64)
    return float(numpy.max(numpy.abs(found - expected)) / numpy.max(numpy.abs(expected)))


@every_case
@pytest.mark.parametrize("mode", QUANTITIES)
def test_float32_is_as_near_to_the_reference_as_correct_runs_are(case, mode):
    """In outputs, loss, activations (mean, spread, peak; layout), gradients, statistics."""
    found, expected = outcome(case, torch.float32, mode == "train"), reference.load_case(case)
    spreads = {name: float(one[1]) for name, one in expected[f"{mode}_act"].items()}
    far = {}
    for quantity in QUANTITIES[mode]:
        name = quantity if quantity == "bn1" else f"{mode}_{quantity}"
        scale = spreads if quantity == "actdot" else None
        apart = distance(found[quantity], expected[name], scale)
        far.update({name: apart} if apart >= accepted(case, name) else {})
    assert far == {}


@every_case
def test_training_mode_in_float64_is_exact(case):
    found, expected = outcome(case, torch.float64, True), reference.load_case(case)
    assert distance(found["logits"], expected["train_logits"]) < EXACT
    assert distance(found["loss"], expected["train_loss"]) < EXACT
    assert distance(found["bn1"], expected["bn1"]) < EXACT
    assert distance(found["gradnorm"], expected["gradnorm"]) < EXACT
    assert distance(found["graddot"], expected["graddot"], expected["gradnorm"]) < EXACT


@pytest.mark.parametrize("case", reference.VARIANTS[:1])
def test_three_steps_of_sgd_follow_the_references_losses_and_weight_changes(case):
    expected = reference.load_case(case)
    network = filled_network(case, torch.float64, training=True)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.SGD(
        network.parameters(), lr=0.001, momentum=0.9, nesterov=True, weight_decay=1e-4
    )
    losses, changes = [], []
    for _ in range(3):
        loss = loss_of(network, case, torch.float64)[1]
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        changes.append(
            {n: float((p.detach() - before[n]).norm()) for n, p in network.named_parameters()}
        )
    assert distance(losses, expected["traj_loss"]) < EXACT
    assert distance(changes[0], expected["sgd1_dnorm"]) < EXACT
