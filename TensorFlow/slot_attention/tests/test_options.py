"""The command lines: the reference's flags and defaults; which network a run gets."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import slot_attention
from common.core.errors import UsageError, ZooError
from slot_attention import options as own
from slot_attention.network.choice import chosen_network
from slot_attention.options import OBJECT_DISCOVERY, SET_PREDICTION, parse_options

DATA = ["--data_path", "somewhere"]
REFERENCE = {
    OBJECT_DISCOVERY: ("/tmp/object_discovery/", 0, 64, 7, 4e-4, 500000, 10000, 0.5, 100000),
    SET_PREDICTION: ("/tmp/set_prediction/", 0, 512, 10, 4e-4, 150000, 1000, 0.5, 50000),
}
NAMES = (
    "model_dir seed batch_size num_slots learning_rate num_train_steps warmup_steps decay_rate "
    "decay_steps"
)


@pytest.mark.parametrize("task", sorted(REFERENCE))
def test_the_defaults_are_the_references_and_what_the_paper_has_not_is_off(task):
    options = parse_options(task, "train", DATA)
    assert tuple(getattr(options, name) for name in NAMES.split()) == REFERENCE[task]
    assert options.initial_slots == "gaussian" and not options.implicit_differentiation
    assert options.clip_gradient_norm == 0


def test_later_flags_are_recorded_only_where_they_say_something_new():
    plain = parse_options(SET_PREDICTION, "train", DATA).config()
    unsaid = {"decay", "encoder_strides", "data_path", "model_dir", "device", "resume"}
    assert not unsaid & set(plain)
    words = DATA + ["--decay", "cosine", "--encoder_strides", "2,2,1,1"]
    found = parse_options(SET_PREDICTION, "train", words).config()
    assert (found["decay"], found["encoder_strides"]) == ("cosine", [2, 2, 1, 1])


@pytest.mark.parametrize(
    "word, field, value",
    [
        ("--output_path=x", "model_dir", "x"),
        ("--train_steps=3", "num_train_steps", 3),
        ("--profiling", "profile", True),
        ("--data_url=y", "data_path", "y"),
    ],
)
def test_the_launchers_names_are_known(word, field, value):
    words = ["--dataset", "synthetic_sprites", word]
    assert getattr(parse_options(OBJECT_DISCOVERY, "train", words), field) == value


def test_missing_data_names_the_dataset_that_needs_none():
    with pytest.raises(ZooError, match="--dataset synthetic_sprites"):
        parse_options(OBJECT_DISCOVERY, "train", [])


def test_an_evaluation_takes_the_checkpoint_where_a_training_leaves_it(tmp_path, monkeypatch):
    monkeypatch.setitem(own.DEFAULTS[SET_PREDICTION], "model_dir", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="--checkpoint_dir is missing"):
        parse_options(SET_PREDICTION, "eval", DATA)
    assert parse_options(SET_PREDICTION, "eval", DATA + ["--checkpoint=c"]).checkpoint_dir == "c"
    monkeypatch.setitem(own.DEFAULTS[SET_PREDICTION], "model_dir", str(tmp_path))
    found = parse_options(SET_PREDICTION, "eval", DATA)
    assert (found.checkpoint_dir, found.model_dir) == (str(tmp_path), None)


@pytest.mark.parametrize(
    "task, words, told",
    [
        (OBJECT_DISCOVERY, ["--implicit_differentiation", "--num_iterations=1"], "2 or more"),
        (OBJECT_DISCOVERY, ["--decay_rate", "2"], "--decay_rate"),
        (OBJECT_DISCOVERY, ["--architecture", "resnet"], "--architecture"),
        (OBJECT_DISCOVERY, ["--encoder_strides=2,2,1,1"], "--encoder_strides"),
        (SET_PREDICTION, ["--architecture", "small"], "--architecture"),
    ]
    + [(SET_PREDICTION, ["--encoder_strides", text], "such as 2,2,1,1") for text in ("2,2,1", "a")],
)
def test_what_can_not_be_is_refused_by_name(task, words, told):
    with pytest.raises(UsageError, match=told):
        parse_options(task, "train", DATA + words)


def test_data_metrics_pictures_and_options_know_no_framework():
    rooms = ("data", "synthetic", "metrics", "pictures", "options")
    found = pkgutil.walk_packages(slot_attention.__path__, "slot_attention.")
    names = [one.name for one in found if one.name.split(".")[1] in rooms]
    names.remove("slot_attention.data.pipeline")  # the batches, as tf.data
    code = f"import sys, {', '.join(names)}; print({{'tensorflow', 'torch'}} & set(sys.modules))"
    words = [sys.executable, "-c", code]
    assert len(names) > 20 and subprocess.check_output(words).strip() == b"set()"


# Networks


def chosen(*flags, task=OBJECT_DISCOVERY, **known):
    return chosen_network(parse_options(task, "train", [*DATA, *flags]), **known)


def evaluated(known, *flags):
    words = [*DATA, "--checkpoint_dir", "y", *flags]
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
    choice = chosen("--dataset", dataset, image_size=48)
    assert (choice.architecture.name, choice.resolution) == (architecture, resolution)


def test_a_checkpoint_tells_its_network_and_slots_may_grow_unless_they_were_learned():
    known = {"name": "slot_attention_small", "resolution": 40, "count": 5, "iterations": 2}
    choice = evaluated(dict(known, initial="gaussian"))
    assert choice.architecture.name == "small"
    assert (choice.resolution, choice.slots.count, choice.slots.iterations) == (40, 5, 2)
    more = ["--num_slots", "11"]
    assert evaluated(dict(known, initial="gaussian"), *more).slots.count == 11
    with pytest.raises(ZooError, match="leave --num_slots out"):
        evaluated(dict(known, initial="learned"), *more)
