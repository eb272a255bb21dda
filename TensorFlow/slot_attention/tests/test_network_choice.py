"""Which network a run gets: flags, dataset, checkpoint."""

from __future__ import annotations

import pytest

from common.core.errors import UsageError, ZooError
from slot_attention.network.architecture import ARCHITECTURES, architecture_of
from slot_attention.network.choice import chosen_network
from slot_attention.options import OBJECT_DISCOVERY, SET_PREDICTION, parse_options


def _options(*flags, task=OBJECT_DISCOVERY):
    return parse_options(task, "train", ["--data_path", "x"] + list(flags))


@pytest.mark.parametrize(
    "dataset, architecture, resolution",
    [
        ("clevr", "clevr", 128),
        ("clevr_with_masks", "clevr", 128),
        ("multi_dsprites_colored_on_grayscale", "multi_dsprites", 64),
        ("objects_room_train", "multi_dsprites", 64),
        ("tetrominoes", "tetrominoes", 35),
    ],
)
def test_each_dataset_has_the_papers_architecture(dataset, architecture, resolution):
    choice = chosen_network(_options("--dataset", dataset))
    assert (choice.architecture.name, choice.resolution) == (architecture, resolution)


def test_small_network_takes_sprites_in_the_size_they_have():
    choice = chosen_network(_options("--dataset", "synthetic_sprites"), image_size=48)
    assert (choice.architecture.name, choice.resolution) == ("small", 48)
    assert choice.architecture.broadcast == 48


def test_clevr_network_at_another_resolution_broadcasts_to_a_sixteenth():
    assert architecture_of("clevr", 64).broadcast == 4


def test_a_resolution_the_decoder_can_not_reach_is_refused():
    with pytest.raises(UsageError, match="--resolution 100 .* multiple of 16"):
        architecture_of("clevr", 100)


def test_features_keep_the_resolution_without_strides():
    assert ARCHITECTURES["clevr"].features == 128
    assert ARCHITECTURES["small"].features == 16


def test_set_prediction_has_no_decoder():
    choice = chosen_network(_options(task=SET_PREDICTION))
    assert choice.architecture is None
    assert (choice.resolution, choice.slots.count) == (128, 10)


def test_strides_of_set_prediction_are_the_papers_the_checkpoints_or_asked_for():
    task = SET_PREDICTION
    assert chosen_network(_options(task=task)).strides == (1, 2, 2, 1)
    assert "strides" not in chosen_network(_options(task=task)).described()
    asked = chosen_network(_options("--encoder_strides", "2,2,1,1", task=task))
    assert asked.described()["strides"] == [2, 2, 1, 1]
    known = chosen_network(_options(task=task), known=asked.described())
    assert known == asked


def test_the_network_for_scenes_reaches_64_pixels():
    found = architecture_of("scenes", 64)
    assert (found.features, found.broadcast, found.channels) == (32, 32, 64)


def test_a_checkpoint_tells_its_network():
    known = {
        "name": "slot_attention_small",
        "resolution": 40,
        "count": 5,
        "iterations": 2,
        "initial": "gaussian",
    }
    options = parse_options(OBJECT_DISCOVERY, "eval", ["--data_path", "x", "--checkpoint_dir", "y"])
    choice = chosen_network(options, known=known)
    assert choice.architecture.name == "small"
    assert (choice.resolution, choice.slots.count, choice.slots.iterations) == (40, 5, 2)


def test_more_slots_than_trained_with_can_be_evaluated():
    options = parse_options(
        OBJECT_DISCOVERY, "eval", ["--data_path", "x", "--checkpoint_dir", "y", "--num_slots", "11"]
    )
    assert chosen_network(options, known={"count": 7, "initial": "gaussian"}).slots.count == 11


def test_learned_slots_can_not_be_more_than_were_learned():
    options = parse_options(
        OBJECT_DISCOVERY, "eval", ["--data_path", "x", "--checkpoint_dir", "y", "--num_slots", "11"]
    )
    with pytest.raises(ZooError, match="leave --num_slots out"):
        chosen_network(options, known={"count": 7, "initial": "learned"})
