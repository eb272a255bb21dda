"""Which network a run gets: flags, dataset, checkpoint."""

from __future__ import annotations

import pytest

from common.core.errors import UsageError, ZooError
from slot_attention.network.architecture import architecture_of
from slot_attention.network.choice import chosen_network
from slot_attention.options import OBJECT_DISCOVERY, SET_PREDICTION, parse_options


def _chosen(*flags, task=OBJECT_DISCOVERY, **known):
    return chosen_network(parse_options(task, "train", ["--data_path", "x", *flags]), **known)


def _evaluated(known, *flags):
    words = ["--data_path", "x", "--checkpoint_dir", "y", *flags]
    return chosen_network(parse_options(OBJECT_DISCOVERY, "eval", words), known=known)


@pytest.mark.parametrize(
    "dataset, architecture, resolution",
    [
        ("clevr", "clevr", 128),
        ("clevr_with_masks", "clevr", 128),
        ("multi_dsprites_colored_on_grayscale", "multi_dsprites", 64),
        ("objects_room_train", "multi_dsprites", 64),
        ("tetrominoes", "tetrominoes", 35),
        ("synthetic_sprites", "small", 48),
    ],
)
def test_each_dataset_has_its_architecture_and_sprites_the_size_they_have(
    dataset, architecture, resolution
):
    choice = _chosen("--dataset", dataset, image_size=48)
    assert (choice.architecture.name, choice.resolution) == (architecture, resolution)


def test_a_decoder_broadcasts_to_what_its_strides_reach():
    assert architecture_of("clevr", 64).broadcast == 4
    assert architecture_of("small", 48).broadcast == 48
    assert architecture_of("scenes", 64).broadcast == 32
    with pytest.raises(UsageError, match="--resolution 100 .* multiple of 16"):
        architecture_of("clevr", 100)


def test_set_prediction_has_no_decoder_and_strides_of_the_paper_a_checkpoint_or_ones_own():
    task = SET_PREDICTION
    choice = _chosen(task=task)
    assert (choice.architecture, choice.resolution, choice.slots.count) == (None, 128, 10)
    assert choice.strides == (1, 2, 2, 1) and "strides" not in choice.described()
    asked = _chosen("--encoder_strides", "2,2,1,1", task=task)
    assert asked.described()["strides"] == [2, 2, 1, 1]
    assert _chosen(task=task, known=asked.described()) == asked


def test_a_checkpoint_tells_its_network():
    known = {"name": "slot_attention_small", "resolution": 40, "count": 5, "iterations": 2}
    choice = _evaluated(dict(known, initial="gaussian"))
    assert choice.architecture.name == "small"
    assert (choice.resolution, choice.slots.count, choice.slots.iterations) == (40, 5, 2)


def test_more_slots_than_trained_with_can_be_had_unless_they_were_learned():
    words = ["--num_slots", "11"]
    assert _evaluated({"count": 7, "initial": "gaussian"}, *words).slots.count == 11
    with pytest.raises(ZooError, match="leave --num_slots out"):
        _evaluated({"count": 7, "initial": "learned"}, *words)
