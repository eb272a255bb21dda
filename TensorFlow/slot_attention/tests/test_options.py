"""The command lines: the reference's flags and defaults, and what contradicts."""

from __future__ import annotations

import pytest

from common.core.errors import UsageError, ZooError
from slot_attention.options import OBJECT_DISCOVERY, SET_PREDICTION, parse_options

DATA = ["--data_path", "somewhere"]


def test_object_discovery_has_the_references_defaults():
    options = parse_options(OBJECT_DISCOVERY, "train", DATA)
    assert (
        options.model_dir,
        options.seed,
        options.batch_size,
        options.num_slots,
        options.learning_rate,
        options.num_train_steps,
        options.warmup_steps,
        options.decay_rate,
        options.decay_steps,
    ) == ("/tmp/object_discovery/", 0, 64, 7, 4e-4, 500000, 10000, 0.5, 100000)


def test_set_prediction_has_the_references_defaults():
    options = parse_options(SET_PREDICTION, "train", DATA)
    assert (
        options.model_dir,
        options.seed,
        options.batch_size,
        options.num_slots,
        options.learning_rate,
        options.num_train_steps,
        options.warmup_steps,
        options.decay_rate,
        options.decay_steps,
    ) == ("/tmp/set_prediction/", 0, 512, 10, 4e-4, 150000, 1000, 0.5, 50000)


@pytest.mark.parametrize("task", [OBJECT_DISCOVERY, SET_PREDICTION])
def test_what_the_paper_has_not_is_off(task):
    options = parse_options(task, "train", DATA)
    assert options.initial_slots == "gaussian"
    assert not options.implicit_differentiation
    assert options.clip_gradient_norm == 0


def test_later_flags_are_recorded_only_where_they_say_something_new():
    plain = parse_options(SET_PREDICTION, "train", DATA).config()
    assert not {"decay", "encoder_strides"} & set(plain)
    words = DATA + ["--decay", "cosine", "--encoder_strides", "2,2,1,1"]
    found = parse_options(SET_PREDICTION, "train", words).config()
    assert (found["decay"], found["encoder_strides"]) == ("cosine", [2, 2, 1, 1])


@pytest.mark.parametrize("text", ["2,2,1", "2,2,1,3", "a", "2,2,1,1,1"])
def test_strides_are_four_of_one_or_two(text):
    with pytest.raises(UsageError, match="such as 2,2,1,1"):
        parse_options(SET_PREDICTION, "train", DATA + ["--encoder_strides", text])


def test_output_path_is_another_name_of_model_dir():
    assert parse_options(OBJECT_DISCOVERY, "train", DATA + ["--output_path", "x"]).model_dir == "x"


def test_missing_data_names_the_dataset_that_needs_none():
    with pytest.raises(ZooError, match="--dataset synthetic_sprites"):
        parse_options(OBJECT_DISCOVERY, "train", [])


def test_a_synthetic_dataset_needs_no_data_path():
    options = parse_options(OBJECT_DISCOVERY, "train", ["--dataset", "synthetic_sprites"])
    assert options.data_path is None


def test_evaluation_needs_a_checkpoint():
    with pytest.raises(UsageError, match="--checkpoint_dir is missing"):
        parse_options(SET_PREDICTION, "eval", DATA)


def test_implicit_differentiation_of_one_iteration_is_refused():
    with pytest.raises(UsageError, match="num_iterations 2 or more"):
        parse_options(
            OBJECT_DISCOVERY,
            "train",
            DATA + ["--implicit_differentiation", "--num_iterations", "1"],
        )


@pytest.mark.parametrize(
    "flag, value",
    [
        ("--batch_size", "0"),
        ("--learning_rate", "0"),
        ("--num_slots", "-1"),
        ("--decay_rate", "2"),
        ("--seed", "-1"),
        ("--dataset", "mnist"),
        ("--architecture", "resnet"),
        ("--evaluation_count", "0"),
        ("--initial_slots", "zeros"),
        ("--warmup_steps", "-1"),
    ],
)
def test_values_out_of_range_are_refused_by_name(flag, value):
    with pytest.raises(UsageError, match=flag):
        parse_options(OBJECT_DISCOVERY, "train", DATA + [flag, value])


def test_an_unknown_flag_is_refused_by_name():
    with pytest.raises(UsageError, match="--momentum"):
        parse_options(OBJECT_DISCOVERY, "train", DATA + ["--momentum", "0.9"])


def test_paths_and_devices_are_no_part_of_the_recorded_configuration():
    recorded = parse_options(OBJECT_DISCOVERY, "train", DATA + ["--model_dir", "x"]).config()
    assert not {"data_path", "model_dir", "device", "resume", "workers"} & set(recorded)
