"""Batches for training and evaluation, and their digests, which no version changes."""

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
from slot_attention.data.datasets import find_scenes
from slot_attention.data.order import TrainingOrder
from slot_attention.data.pipeline import (
    BatchOptions,
    Share,
    evaluation_batches,
    steps_per_epoch,
    training_batches,
)
from slot_attention.data.scenes import SceneDataset, SceneFacts, Split
from slot_attention.synthetic.prepare import Request, write_dataset
from slot_attention.synthetic.scene_layout import SceneSettings
from slot_attention.synthetic.sprites import SpriteSettings

pytestmark = pytest.mark.tensorflow
Batches = List[Dict[str, np.ndarray]]
TRAIN = 20
SCENES = SceneSettings((48, 64), (1, 2), smallest=1)
MASKS = BatchOptions(("image", "mask"), 2)


def made_up(first: int, count: int, channels: int) -> Split:
    """Scenes whose every pixel is their number, with as many entities as fit."""
    numbers = np.arange(first, first + count)
    images = np.zeros((count, 4, 6, channels), np.uint8) + numbers[:, None, None, None]
    labels = images[..., 0] % 3
    return Split(images.astype(np.uint8), labels.astype(np.uint8), None, numbers % 3)


@pytest.fixture
def dataset(channels: int = 3) -> SceneDataset:
    facts = SceneFacts("made_up", (4, 6), 3, 3, 1, 2, False, "all", "0" * 64)
    splits = {"train": made_up(0, TRAIN, channels), "test": made_up(TRAIN, 5, channels)}
    return SceneDataset(facts, facts.geometry(), splits)


def take(batches: Any, count: int = 100) -> Batches:
    """The next batches, at most so many."""
    batch = tf.data.make_one_shot_iterator(batches).get_next()
    taken: Batches = []
    with tf.Session() as session:
        while len(taken) < count:
            try:
                taken.append(session.run(batch))
            except tf.errors.OutOfRangeError:
                break
    return taken


def train(dataset: SceneDataset, count: int, **settings: Any) -> Batches:
    with tf.Graph().as_default():
        settings = {"batch_size": 4, "seed": 1, **settings}
        return take(training_batches(dataset, **settings), count)


def evaluate(dataset: SceneDataset, **settings: Any) -> Batches:
    with tf.Graph().as_default():
        return take(evaluation_batches(dataset, **settings))


def numbers_of(batches: Batches) -> List[int]:
    """Which scenes these are, by their images."""
    pixels = np.concatenate([batch["image"][:, 0, 0, 0] for batch in batches])
    return np.rint((pixels * 0.5 + 0.5) * 255).astype(int).tolist()


def test_batches_have_static_shapes_and_images_from_minus_one_to_one(dataset: SceneDataset) -> None:
    with tf.Graph().as_default():
        shapes = tf.data.get_output_shapes(training_batches(dataset, 4, 0, options=MASKS))
    assert shapes["image"].as_list() == [4, 4, 6, 3]
    assert shapes["mask"].as_list() == [4, 3, 4, 6]
    image = train(dataset, 1)[0]["image"]
    assert image.dtype == np.float32
    expected = (np.float32(numbers_of([{"image": image}])[0]) / np.float32(255) - 0.5) * 2
    assert image[0].min() == image[0].max() == pytest.approx(expected, abs=1e-7)


def test_every_entity_has_a_mask(dataset: SceneDataset) -> None:
    batch = train(dataset, 1, options=MASKS)[0]
    assert batch["mask"].dtype == np.uint8
    for number, mask in zip(numbers_of([batch]), batch["mask"]):
        assert mask[:, 0, 0].tolist() == [int(number % 3 == entity) for entity in range(3)]


def test_an_epoch_shows_every_training_scene_once(dataset: SceneDataset) -> None:
    first, second = (numbers_of(train(dataset, 5, start_step=start)) for start in (0, 5))
    assert sorted(first) == sorted(second) == list(range(TRAIN)) and first != second


def test_a_resumed_run_sees_the_batches_of_an_uninterrupted_one(dataset: SceneDataset) -> None:
    whole, resumed = train(dataset, 9), train(dataset, 2, start_step=7)
    assert numbers_of(whole[7:]) == numbers_of(resumed)


def test_ranks_see_disjoint_parts_of_the_same_global_batch(dataset: SceneDataset) -> None:
    whole = numbers_of(train(dataset, 2, batch_size=8))
    parts = [train(dataset, 2, share=Share(rank, 2)) for rank in (0, 1)]
    by_step = [numbers_of([parts[rank][step]]) for step in (0, 1) for rank in (0, 1)]
    assert [number for part in by_step for number in part] == whole
    assert steps_per_epoch(dataset, 3, 2) == 3


def test_evaluation_goes_in_order_and_says_how_many_count(dataset: SceneDataset) -> None:
    batches = evaluate(dataset, batch_size=3, split="test")
    assert [int(batch["valid"]) for batch in batches] == [3, 2]
    assert numbers_of(batches) == [20, 21, 22, 23, 24, 24]


def test_grey_images_become_colour_images(dataset: SceneDataset) -> None:
    grey = SceneDataset(dataset.facts, dataset.geometry, {"train": made_up(0, TRAIN, 1)})
    image = train(grey, 1)[0]["image"]
    assert image.shape == (4, 4, 6, 3) and (image[..., 0] == image[..., 2]).all()


@pytest.mark.parametrize("field", ["target", "depth"])
def test_a_field_the_dataset_lacks_is_refused(field: str, dataset: SceneDataset) -> None:
    with pytest.raises(UsageError, match=f"has no {field}: it has image, mask"):
        train(dataset, 1, options=BatchOptions(("image", field)))


def test_a_batch_larger_than_the_data_names_the_flag(dataset: SceneDataset) -> None:
    said = "--batch_size 21 on 1 rank.s. is more than the 20 training scenes: give --batch_size 20"
    with pytest.raises(UsageError, match=said):
        train(dataset, 1, batch_size=21)


def test_an_unknown_split_is_refused(dataset: SceneDataset) -> None:
    with pytest.raises(UsageError, match="has no split 'dev': use one of train"):
        evaluate(dataset, batch_size=3, split="dev")


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
