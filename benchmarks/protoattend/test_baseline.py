"""The baseline computes what the reference computes, so a ratio to it means something."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from benchmarks.protoattend import baseline  # noqa: E402
from benchmarks.protoattend.baseline import tf  # noqa: E402
from tests.fixtures.packed_arrays import load_either  # noqa: E402

pytestmark = pytest.mark.tensorflow

FIXTURES = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "protoattend"
# Three times the distances observed between correct implementations in float32.
LOSS, SPARSITY, ENCODED, WEIGHTS, TRAJECTORY = 6e-6, 2.7e-5, 3e-5, 1.5e-5, 3.6e-3
GRADIENT_NORM, GRADIENT_DOT = 2e-2, 7.5e-2
STATISTICS = 2e-5
STEPS = 5


def group(stored: Dict[str, np.ndarray], prefix: str) -> Dict[str, np.ndarray]:
    return {
        key[len(prefix) + 1 :]: value
        for key, value in stored.items()
        if key.startswith(prefix + ":")
    }


@pytest.fixture(scope="module")
def stored():
    return load_either(FIXTURES / "protoattend_public")


@pytest.fixture(scope="module")
def exact():
    return load_either(FIXTURES / "protoattend_f64ref_public")


class Reproduction:
    """The training graph on the fixture's images, with its weights."""

    def __init__(self, stored: Dict[str, np.ndarray]) -> None:
        self.images, self.candidates = (
            tf.constant(stored[name]) for name in ("batch_images", "cand_images")
        )
        self.step = baseline.build_step(
            self.images, tf.constant(stored["batch_labels"]), self.candidates
        )
        self.updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        self.variables = {variable.op.name: variable for variable in baseline.network_variables()}
        self.session = tf.Session()
        self.restart = (
            [tf.global_variables_initializer()],
            [variable.assign(stored["w:" + name]) for name, variable in self.variables.items()],
        )

    def begin(self) -> None:
        """The state before the first step."""
        for operations in self.restart:
            self.session.run(operations)

    def statistics(self) -> Dict[str, np.ndarray]:
        """The moving averages of the moment."""
        return self.session.run(
            {name: variable for name, variable in self.variables.items() if "/moving_" in name}
        )


@pytest.fixture(scope="module")
def reproduction(stored):
    with tf.Graph().as_default():
        found = Reproduction(stored)
        yield found
        found.session.close()


def test_the_variables_are_the_references(reproduction, stored):
    shapes = {
        name: tuple(variable.shape.as_list()) for name, variable in reproduction.variables.items()
    }
    assert shapes == {name: value.shape for name, value in group(stored, "w").items()}


@pytest.mark.parametrize(
    "mode, images, prefix",
    [
        ("eval", "images", "batch"),
        ("eval", "candidates", "cand"),
        ("train", "images", "batch"),
        ("train", "candidates", "cand"),
    ],
)
def test_keys_queries_and_values_are_the_references(reproduction, stored, mode, images, prefix):
    encoded = baseline.encode(getattr(reproduction, images), training=mode == "train")
    reproduction.begin()
    found = reproduction.session.run(dict(zip(("keys", "queries", "values"), encoded)))
    for name, value in found.items():
        wanted = stored[f"{mode}_{prefix}_{name}"]
        assert np.abs(value - wanted).max() < ENCODED, name


def test_attention_weights_are_the_references(reproduction, stored):
    _, weights = baseline.attend(
        *(
            tf.constant(stored["train_" + name])
            for name in ("batch_queries", "cand_keys", "cand_values")
        )
    )
    found = reproduction.session.run(weights)
    assert np.abs(found - stored["train_sparsemax_weights"]).max() < WEIGHTS


def test_losses_are_the_references(reproduction, exact):
    reproduction.begin()
    losses = reproduction.step.losses
    names = {
        "joint": losses.joint,
        "self": losses.own,
        "weighted": losses.mixed,
        "sparsity": losses.sparsity,
        "total": losses.total,
    }
    for name, found in reproduction.session.run(names).items():
        tolerance = SPARSITY if name == "sparsity" else LOSS
        assert float(found) == pytest.approx(float(exact["train_loss_" + name]), abs=tolerance)


def test_gradients_are_the_references(reproduction, exact):
    reproduction.begin()
    found = reproduction.session.run(reproduction.step.gradients)
    norms, dots = group(exact, "gradnorm"), group(exact, "graddot")
    assert set(found) == set(norms)
    for name, gradient in found.items():
        norm = float(norms[name])
        assert np.linalg.norm(gradient) == pytest.approx(norm, rel=GRADIENT_NORM), name
        assert abs(
            float(np.sum(gradient * dot_vector(name, gradient.shape))) - dots[name]
        ) < GRADIENT_DOT * (abs(float(dots[name])) + norm), name


def dot_vector(name: str, shape: Any) -> np.ndarray:
    seed = zlib.crc32(name.encode()) & 0xFFFFFFFF
    return np.random.RandomState(seed).standard_normal(shape)


def test_a_step_moves_the_averages_by_both_batches(reproduction, stored):
    half = len(reproduction.updates) // 2
    before = group(stored, "w")
    of_queries, of_candidates = (
        moved(reproduction, operations)
        for operations in (reproduction.updates[:half], reproduction.updates[half:])
    )
    after = moved(reproduction, [reproduction.step.train])
    for name, wanted in group(stored, "bn_after1").items():
        # The reference leaves open which batch comes first, or whether both begin at once.
        begin, one, other = before[name], of_queries[name], of_candidates[name]
        orders = [
            one * 0.9 + other - begin * 0.9,
            other * 0.9 + one - begin * 0.9,
            one + other - begin,
        ]
        tolerance = STATISTICS * np.abs(wanted).max()
        for value, allowed in ((wanted, orders[:2]), (after[name], orders)):
            assert min(np.abs(value - order).max() for order in allowed) < tolerance, name


def moved(reproduction: Reproduction, operations: Any) -> Dict[str, np.ndarray]:
    """The moving averages after operations on the state before the first step."""
    reproduction.begin()
    reproduction.session.run(operations)
    return reproduction.statistics()


def test_five_steps_lose_what_the_reference_loses(reproduction, exact):
    reproduction.begin()
    fetches = [reproduction.step.losses.total, reproduction.step.train]
    found = [float(reproduction.session.run(fetches)[0]) for _ in range(STEPS)]
    assert found == pytest.approx(exact["traj_loss"].tolist(), rel=TRAJECTORY)


def test_sparsemax_is_the_references(stored):
    with tf.Graph().as_default(), tf.Session() as session:
        logits = tf.constant(stored["sparsemax_in"])
        weights = baseline.sparsemax(logits)
        (gradient,) = tf.gradients(weights, logits, stored["sparsemax_upstream"])
        found, slope = session.run([weights, gradient])
    assert np.abs(found - stored["sparsemax_out"]).max() < 1e-6
    assert np.abs(slope - stored["sparsemax_grad"]).max() < 1e-6
