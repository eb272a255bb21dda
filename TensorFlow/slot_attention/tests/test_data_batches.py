"""Which scene comes when; batches of them, and their digests, which no version changes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest

from common.core.errors import UsageError
from common.core.terminal import Terminal
from common.training.tensorflow.runtime import tf
from slot_attention.data.arrays import prepare
from slot_attention.data.batches import EvaluationOrder, TrainingOrder
from slot_attention.data.datasets import find_scenes
from slot_attention.data.pipeline import scene_batches
from slot_attention.data.scenes import SceneDataset, SceneFacts, Split
from slot_attention.synthetic.prepare import Request, write_dataset
from slot_attention.synthetic.scenes import SceneSettings
from slot_attention.synthetic.sprites import SpriteSettings

pytestmark = pytest.mark.tensorflow
Batches = List[Dict[str, np.ndarray]]
TRAIN = 20
SCENES = SceneSettings((48, 64), (1, 2), smallest=1)


def test_ranks_share_every_global_batch() -> None:
    whole = TrainingOrder(50, 8, seed=5)
    ranks = [TrainingOrder(50, 4, seed=5, rank=rank, world_size=2) for rank in (0, 1)]
    for step in (0, 5, 9):
        joined = np.concatenate([rank.indices(step) for rank in ranks])
        np.testing.assert_array_equal(joined, whole.indices(step))


def made_up(first: int, count: int, channels: int) -> Split:
    """Scenes whose every pixel is their number, with as many entities as fit."""
    numbers = np.arange(first, first + count)
    images = np.zeros((count, 4, 6, channels), np.uint8) + numbers[:, None, None, None]
    labels = images[..., 0] % 3
    return Split(images.astype(np.uint8), labels.astype(np.uint8), None, numbers % 3)


@pytest.fixture
def dataset() -> SceneDataset:
    facts = SceneFacts("made_up", (4, 6), 3, 3, 1, 2, False, "all", "0" * 64)
    splits = {"train": made_up(0, TRAIN, 3), "test": made_up(TRAIN, 5, 3)}
    return SceneDataset(facts, facts.geometry(), splits)


def take(make: Any, *given: Any, count: int = 100, **settings: Any) -> Batches:
    """The first batches, at most so many."""
    taken: Batches = []
    with tf.Graph().as_default(), tf.Session() as session:
        batch = tf.data.make_one_shot_iterator(make(*given, **settings)).get_next()
        while len(taken) < count:
            try:
                taken.append(session.run(batch))
            except tf.errors.OutOfRangeError:
                break
    return taken


def train(
    dataset: SceneDataset, count: int, batch_size: int = 4, ranks: Any = (0, 1), **settings: Any
) -> Batches:
    order = TrainingOrder(TRAIN, batch_size, 1, *ranks)
    return take(scene_batches, dataset, "train", order, count=count, **settings)


def numbers_of(batches: Batches) -> List[int]:
    """Which scenes these are, by their images."""
    pixels = np.concatenate([batch["image"][:, 0, 0, 0] for batch in batches])
    return np.rint((pixels * 0.5 + 0.5) * 255).astype(int).tolist()


def test_batches_have_static_shapes_and_images_from_minus_one_to_one(dataset: SceneDataset) -> None:
    fields = ("image", "mask")
    with tf.Graph().as_default():
        batches = scene_batches(dataset, "train", TrainingOrder(TRAIN, 4, 0), fields, 2)
        shapes = tf.data.get_output_shapes(batches)
    assert {name: shape.as_list() for name, shape in shapes.items()} == {
        "image": [4, 4, 6, 3],
        "mask": [4, 3, 4, 6],
    }
    (batch,) = train(dataset, 1, fields=fields)
    numbers = np.array(numbers_of([batch]))
    expected = (numbers.astype(np.float32) / np.float32(255) - 0.5) * 2
    assert batch["image"].dtype == np.float32
    np.testing.assert_allclose(batch["image"].max(axis=(1, 2, 3)), expected, atol=1e-7)
    assert (batch["mask"].argmax(axis=1)[:, 0, 0] == numbers % 3).all()
    assert (batch["mask"].sum(axis=1) == 1).all()


def test_evaluation_goes_in_order_over_all_ranks_and_says_how_many_count(
    dataset: SceneDataset,
) -> None:
    seen = []
    for rank in range(3):
        order = EvaluationOrder(11, 2, rank, 3)
        for step in range(order.steps):
            seen += order.indices(step)[: order.valid(step)].tolist()
    assert seen == list(range(11))
    batches = take(scene_batches, dataset, "test", EvaluationOrder(5, 3))
    assert [int(batch["valid"]) for batch in batches] == [3, 2]
    assert numbers_of(batches) == [20, 21, 22, 23, 24, 24]


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"fields": ("image", "target")}, "has no target: it has image, mask"),
        ({"fields": ("image", "depth")}, "has no depth: it has image, mask"),
        (
            {"batch_size": 21},
            "--batch_size 21 on 1 rank.s. is more than the 20 training scenes: give "
            "--batch_size 20",
        ),
        ({"ranks": (0, 6)}, "--batch_size 4 on 6 .* give --batch_size 3"),
    ],
)
def test_what_the_data_can_not_give_is_refused(
    settings: Any, said: str, dataset: SceneDataset
) -> None:
    with pytest.raises(UsageError, match=said):
        train(dataset, 1, **settings)


@pytest.mark.parametrize(
    "name, settings, size, digest",
    [
        ("synthetic_sprites", SpriteSettings((24, 32), (1, 3)), None, "494fc91b71f51528"),
        ("synthetic_scenes", SCENES, None, "707be3c8710d5fe6"),
        ("synthetic_scenes", SCENES, (20, 24), "61f6c1a91e9d6a44"),
    ],
)
def test_the_first_batches_of_a_seed_never_change(
    name: str, settings: Any, size: Any, digest: str, tmp_path: Path
) -> None:
    request = Request(name, settings, {"train": 6, "validation": 2}, seed=3)
    write_dataset(tmp_path, request, Terminal())
    source = find_scenes(name, str(tmp_path))
    dataset = prepare(source, source.facts.geometry(size), False, None, 1)
    order, split, found = TrainingOrder(6, 4, seed=1), dataset.split("train"), hashlib.sha256()
    for step in range(3):
        for array in (split.images, split.labels, split.targets):
            if array is not None:
                found.update(np.ascontiguousarray(array[order.indices(step)]).tobytes())
    assert found.hexdigest()[:16] == digest
