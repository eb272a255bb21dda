"""The networks compute what the reference does: outputs, losses, gradients, statistics, steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Dict

import numpy
import pytest

torch = pytest.importorskip("torch")

import fixture_weights as reference  # noqa: E402

from residual_attention_net.network.model import build_network  # noqa: E402

pytestmark = [pytest.mark.pytorch, pytest.mark.long]

CASES = reference.cases()
every_case = pytest.mark.parametrize("case", CASES, ids=[case.label for case in CASES])
trajectories = pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.variant == "92_32input_update"],
    ids=lambda case: case.label,
)

# Float64 results agree to rounding; the compact fixtures keep running statistics in float32.
EXACT = 1e-6
# How far apart correct float32 runs are, as tests/fixtures/README.md says; three times is accepted.
# Batch norm over one or four images magnifies rounding, the more so the larger the network.
FLOAT32_DISTANCES = {
    "small": {
        "eval_logits": 7e-7,
        "eval_loss": 2e-6,
        "eval_act": 5e-7,
        "eval_actdot": 2e-6,
        "train_logits": 1e-5,
        "train_loss": 2e-6,
        "train_act": 2e-5,
        "train_actdot": 1.1e-4,
        "bn1": 1.1e-5,
        "eval_gradnorm": 7e-4,
    },
    "large": {
        "eval_logits": 7e-7,
        "eval_loss": 2e-6,
        "eval_act": 7e-7,
        "eval_actdot": 2e-6,
        "train_logits": 8e-5,
        "train_loss": 4e-5,
        "train_act": 5e-5,
        "train_actdot": 2.6e-4,
        "bn1": 8e-5,
        "eval_gradnorm": 1e-3,
    },
}


def accepted(case: reference.Case, quantity: str) -> float:
    """Return the largest distance from the float64 reference that a float32 run may have."""
    size = "small" if "32input" in case.variant else "large"
    return 3 * FLOAT32_DISTANCES[size][quantity]


@dataclass(frozen=True)
class Outcome:
    """What one forward and backward pass gives, in the fixtures' terms."""

    logits: numpy.ndarray
    loss: float
    act: Dict[str, numpy.ndarray]
    actdot: Dict[str, float]
    gradnorm: Dict[str, float]
    graddot: Dict[str, float]
    bn1: Dict[str, numpy.ndarray]


def filled_network(case: reference.Case, dtype: Any, training: bool) -> Any:
    network = reference.fill_network(build_network(case.variant)).to(dtype)
    return network.train(training)


def loss_of(network: Any, case: reference.Case, dtype: Any) -> Any:
    labels = torch.from_numpy(reference.load_case(case)["labels"])
    logits = network(reference.network_input(case, dtype))
    return logits, torch.nn.functional.cross_entropy(logits, labels)


@lru_cache(maxsize=None)
def outcome(case: reference.Case, dtype: Any, training: bool) -> Outcome:
    """Run one variant once; the tests share it."""
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
    return Outcome(
        logits.detach().double().numpy(),
        loss.item(),
        act,
        actdot,
        {name: float(numpy.linalg.norm(gradient)) for name, gradient in gradients.items()},
        {name: reference.projection(name, gradient) for name, gradient in gradients.items()},
        {
            name: value.double().numpy()
            for name, value in network.state_dict().items()
            if name.endswith(reference.STATISTICS)
        },
    )


def distance(found: Any, expected: Any) -> float:
    """Return the largest difference relative to the largest expected value."""
    expected = numpy.asarray(expected, numpy.float64)
    return float(numpy.max(numpy.abs(found - expected)) / numpy.max(numpy.abs(expected)))


def largest_distance(found: Dict[str, Any], expected: Dict[str, Any]) -> float:
    assert set(found) == set(expected)
    return max(distance(found[name], expected[name]) for name in expected)


def projection_distance(
    found: Dict[str, float], expected: Dict[str, Any], scale: Dict[str, Any]
) -> float:
    """Return the largest difference of projections, each relative to what it projects."""
    assert set(found) == set(expected)
    return max(abs(found[name] - expected[name]) / scale[name] for name in expected)


def spreads(summaries: Dict[str, Any]) -> Dict[str, float]:
    return {name: float(summary[1]) for name, summary in summaries.items()}


MODES = pytest.mark.parametrize("mode", ["eval", "train"])


@MODES
@every_case
def test_logits_are_the_references(case, mode):
    found = outcome(case, torch.float32, mode == "train")
    expected = reference.load_case(case)[mode + "_logits"]
    assert distance(found.logits, expected) < accepted(case, mode + "_logits")


@MODES
@every_case
def test_loss_is_the_references(case, mode):
    found = outcome(case, torch.float32, mode == "train")
    expected = reference.load_case(case)[mode + "_loss"]
    assert distance(found.loss, expected) < accepted(case, mode + "_loss")


@MODES
@every_case
def test_each_childs_activations_have_the_references_mean_spread_and_peak(case, mode):
    found = outcome(case, torch.float32, mode == "train")
    expected = reference.load_case(case)[mode + "_act"]
    assert largest_distance(found.act, expected) < accepted(case, mode + "_act")


@MODES
@every_case
def test_each_childs_activations_are_laid_out_as_the_references(case, mode):
    found = outcome(case, torch.float32, mode == "train")
    expected = reference.load_case(case)
    found_distance = projection_distance(
        found.actdot, expected[mode + "_actdot"], spreads(expected[mode + "_act"])
    )
    assert found_distance < accepted(case, mode + "_actdot")


@every_case
def test_running_statistics_after_one_step_are_the_references(case):
    found = outcome(case, torch.float32, True)
    assert largest_distance(found.bn1, reference.load_case(case)["bn1"]) < accepted(case, "bn1")


@every_case
def test_gradients_in_evaluation_mode_are_the_references(case):
    found = outcome(case, torch.float32, False)
    expected = reference.load_case(case)["eval_gradnorm"]
    assert largest_distance(found.gradnorm, expected) < accepted(case, "eval_gradnorm")


@every_case
def test_training_mode_in_float64_is_exact_in_outputs_and_statistics(case):
    found, expected = outcome(case, torch.float64, True), reference.load_case(case)
    assert distance(found.logits, expected["train_logits"]) < EXACT
    assert distance(found.loss, expected["train_loss"]) < EXACT
    assert largest_distance(found.bn1, expected["bn1"]) < EXACT


@every_case
def test_training_mode_in_float64_is_exact_in_gradients(case):
    found, expected = outcome(case, torch.float64, True), reference.load_case(case)
    assert largest_distance(found.gradnorm, expected["gradnorm"]) < EXACT
    found_distance = projection_distance(found.graddot, expected["graddot"], expected["gradnorm"])
    assert found_distance < EXACT


@trajectories
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
    assert largest_distance(changes[0], expected["sgd1_dnorm"]) < EXACT


@every_case
def test_a_bilinear_mask_without_aligned_corners_would_be_noticed(case, monkeypatch):
    from residual_attention_net.network import blocks

    interpolate = blocks.functional.interpolate

    def without_aligned_corners(x, size, mode, align_corners):
        return interpolate(x, size=size, mode=mode, align_corners=False)

    monkeypatch.setattr(blocks.functional, "interpolate", without_aligned_corners)
    network = filled_network(case, torch.float32, training=False)
    with torch.no_grad():
        logits = network(reference.network_input(case, torch.float32)).double().numpy()
    expected = reference.load_case(case)["eval_logits"]
    assert distance(logits, expected) > 10 * accepted(case, "eval_logits")
