"""Average precision of set prediction, against the reference's values and a plain loop."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Dict

import numpy as np
import pytest

from slot_attention.metrics.average_precision import (
    THRESHOLDS,
    average_precision,
    nearest_equal_objects,
)

FIXTURE = (
    Path(__file__).resolve().parents[3]
    / "tests"
    / "fixtures"
    / "slot_attention"
    / "clevr_metrics_public.npz"
)
GROUPS = ((3, 5), (5, 7), (7, 10), (10, 18))


@pytest.fixture(scope="module")
def fixture() -> Dict[str, np.ndarray]:
    with np.load(str(FIXTURE)) as arrays:
        return {name: arrays[name] for name in arrays.files}


def objects(seed: int, images: int, number: int) -> np.ndarray:
    """Random targets (images, number, 19), of which about two thirds are real, in float32."""
    random = np.random.RandomState(seed)
    made = np.zeros((images, number, 19), np.float32)
    made[..., :3] = random.random_sample((images, number, 3))
    for start, stop in GROUPS:
        made[..., start:stop] = np.eye(stop - start)[
            random.randint(0, stop - start, (images, number))
        ]
    real = random.random_sample((images, number)) < 0.67
    made[..., 18] = real
    made[~real] = 0
    return made


def guesses(seed: int, targets: np.ndarray, number: int) -> np.ndarray:
    """Predictions near targets: some attributes wrong, coordinates off, distinct confidences."""
    random = np.random.RandomState(seed)
    shape = (len(targets), number, 19)
    chosen = random.randint(0, targets.shape[1], shape[:2])
    made = np.take_along_axis(targets, chosen[:, :, None], axis=1)
    made[..., 3:18] += 1.1 * random.random_sample(shape[:2] + (15,))
    made[..., :3] += 0.03 * random.standard_normal(shape[:2] + (3,))
    made[..., 18] = random.permutation(made[..., 0].size).reshape(shape[:2]) / made[..., 0].size
    return made.astype(np.float32)


def plain_loop(predictions: np.ndarray, targets: np.ndarray, threshold: float) -> float:
    """The reference's rule, one prediction and one object at a time."""
    ranked = sorted(
        (
            (-prediction[18], image, slot)
            for image, slots in enumerate(predictions)
            for slot, prediction in enumerate(slots)
        )
    )
    detected, right = set(), []
    for _, image, slot in ranked:
        best, best_distance = None, 10000.0
        for number, target in enumerate(targets[image]):
            if target[18] and attributes(target) == attributes(predictions[image, slot]):
                distance = np.linalg.norm((target[:3] - predictions[image, slot, :3]) * 6.0)
                if distance < best_distance:
                    best, best_distance = number, distance
        hit = (
            best is not None
            and (best_distance < threshold or threshold == -1)
            and (image, best) not in detected
        )
        detected |= {(image, best)} if hit else set()
        right.append(hit)
    return area(right, targets[..., 18].sum())


def attributes(element: np.ndarray) -> list:
    return [int(np.argmax(element[start:stop])) for start, stop in GROUPS]


def area(right: list, real: float) -> float:
    found, precision, recall = 0, [], [0.0]
    for count, hit in enumerate(right, start=1):
        found += hit
        precision.append(float(np.float32(found / count)))
        recall.append(float(np.float32(found / real)))
    return sum(max(precision[i:]) * (recall[i + 1] - recall[i]) for i in range(len(right)))


def one(coordinates: tuple, confidence: float = 1.0, color: int = 0) -> np.ndarray:
    """One small rubber cube."""
    element = np.zeros(19, np.float32)
    element[:3], element[[3, 5, 7, 10 + color]], element[18] = coordinates, 1, confidence
    return element


@pytest.mark.parametrize(
    "prediction, target, images, name",
    [
        ("pred", "target", 32, "ap"),
        ("pred_6slots", "target", 8, "ap_6slots"),
        ("pred_perfect", "target", 4, "ap_perfect"),
    ],
)
def test_is_the_references(fixture, prediction, target, images, name):
    ours = average_precision(fixture[prediction], fixture[target][:images], fixture["thresholds"])
    np.testing.assert_allclose(ours, fixture[name], rtol=0, atol=1e-15)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("number", [3, 10])
def test_is_the_plain_loops_on_random_sets(seed, number):
    targets = objects(seed, 12, 10)
    predictions = guesses(seed + 100, targets, number)
    theirs = [plain_loop(predictions, targets, threshold) for threshold in THRESHOLDS]
    assert 0 < min(theirs) < max(theirs) < 1
    ours = average_precision(predictions, targets)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-14)


def test_no_threshold_may_be_written_as_minus_one():
    targets = objects(0, 12, 10)
    predictions = guesses(1, targets, 10)
    np.testing.assert_array_equal(
        average_precision(predictions, targets, [-1]),
        average_precision(predictions, targets, [np.inf]),
    )


def test_distance_at_the_threshold_is_too_far():
    targets = one((0.25, 0.5, 0.5))[None, None]
    at_half = one((0.25 + 0.5, 0.5, 0.5))[None, None]  # 3 units away, exactly in float32
    assert average_precision(at_half, targets, [3.0, 3.001]).tolist() == [0, 1]


def test_object_found_twice_makes_the_second_wrong_though_another_is_near():
    targets = np.stack([one((0.5, 0.5, 0.5)), one((0.52, 0.5, 0.5))])[None]
    both_nearest_the_first = np.stack([one((0.5, 0.5, 0.5), 0.9), one((0.505, 0.5, 0.5), 0.8)])
    assert average_precision(both_nearest_the_first[None], targets, [1.0])[0] == 0.5


def test_a_miss_by_distance_leaves_the_object_to_a_later_prediction():
    targets = one((0.5, 0.5, 0.5))[None, None]
    predictions = np.stack([one((0.9, 0.5, 0.5), 0.9), one((0.5, 0.5, 0.5), 0.8)])[None]
    assert average_precision(predictions, targets, [1.0])[0] == 0.5
    assert average_precision(predictions, targets, [np.inf])[0] == 1


def test_padding_is_never_found():
    padding = one((0.5, 0.5, 0.5), confidence=0)
    targets = np.stack([one((0.1, 0.5, 0.5), color=3), padding])[None]
    predictions = np.stack([one((0.5, 0.5, 0.5), 0.9), one((0.1, 0.5, 0.5), 0.8, color=3)])[None]
    assert average_precision(predictions, targets, [np.inf])[0] == 0.5


def test_equal_confidences_go_by_image_then_slot():
    right, wrong = one((0.5, 0.5, 0.5), 0.7), one((0.5, 0.5, 0.5), 0.7, color=1)
    targets = np.stack([one((0.5, 0.5, 0.5))[None]] * 2)
    first, last = np.stack([[right], [wrong]]), np.stack([[wrong], [right]])
    assert average_precision(first, targets, [1.0])[0] == 0.5
    assert average_precision(last, targets, [1.0])[0] == 0.25


def test_without_real_objects_it_is_nan():
    targets = np.zeros((1, 2, 19), np.float32)
    assert np.isnan(average_precision(one((0, 0, 0))[None, None], targets)).all()


def test_nearest_equal_object_and_its_distance_in_the_scene():
    targets = np.stack([one((0.2, 0, 0)), one((0.5, 0, 0)), one((0.31, 0, 0), color=2)])[None]
    predictions = np.stack([one((0.3, 0, 0)), one((0.3, 0, 0), color=5)])[None]
    numbers, distances = nearest_equal_objects(predictions, targets)
    assert numbers.tolist() == [[0, -1]]
    assert distances[0].tolist() == [pytest.approx(0.6, rel=1e-6), np.inf]


def test_is_a_thousand_times_faster_than_the_references_121_seconds():
    targets = objects(0, 512, 10)
    predictions = guesses(1, targets, 10)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        average_precision(predictions, targets)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.12
