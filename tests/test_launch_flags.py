"""The flags of the launcher and of every launch script."""

import pytest

from common.cards.model_card import read_card
from common.core.errors import UsageError
from common.launch.flags import FLAGS, asks_for_help, help_text, parse_flags, with_entry_names
from tests.fake_zoo import FAKE_MODEL

CARD = read_card(FAKE_MODEL / "PyTorch" / "fake_net" / "model.yaml")
TASK = CARD.task(None)


def test_both_ways_of_giving_a_value_are_the_same():
    assert parse_flags(["--train_steps=5", "--data_path=/a b"]) == parse_flags(
        ["--train_steps", "5", "--data_path", "/a b"]
    )


def test_a_value_may_contain_an_equals_sign():
    assert parse_flags(["--data_path=/a=b"]).data_path == "/a=b"


@pytest.mark.parametrize(
    "words", [["--resume"], ["--resume=True"], ["--resume", "true"], ["--resume=1"]]
)
def test_resume_can_be_given_bare_or_with_a_value(words):
    assert parse_flags(words).resume is True


def test_resume_can_be_given_as_false():
    assert parse_flags(["--resume=False"]).resume is False


def test_a_bare_switch_does_not_swallow_the_next_flag():
    flags = parse_flags(["--resume", "--seed", "3"])
    assert flags.resume and flags.seed == 3


def test_a_negative_number_is_a_value():
    assert parse_flags(["--shift", "-0.5"]).entry == {"shift": "-0.5"}


def test_unknown_flags_are_kept_for_the_entry_point_in_order():
    entry = parse_flags(["--recipe", "modern", "--x=1", "--bare"]).entry
    assert list(entry.items()) == [("recipe", "modern"), ("x", "1"), ("bare", None)]


def test_a_name_that_only_begins_like_a_flag_is_another_flag():
    flags = parse_flags(["--data_path_x=/a"])
    assert flags.data_path is None and flags.entry == {"data_path_x": "/a"}


def test_the_last_value_of_a_repeated_flag_counts():
    assert parse_flags(["--seed=1", "--seed=2"]).seed == 2


@pytest.mark.parametrize(
    "words, told",
    [
        (["--batch_size=0"], "--batch_size: expected at least 1"),
        (["--batch_size=many"], "--batch_size: expected a whole number"),
        (["--device=tpu"], "--device: expected one of auto, npu, gpu, cpu"),
        (["--resume=maybe"], "--resume: expected true or false"),
        (["--master_port=70000"], "at most 65535"),
        (["--hang_timeout=-1"], "--hang_timeout"),
        (["--data_path"], "--data_path needs a value"),
        (["--data_path="], "--data_path: expected a value"),
        (["--bind_core=often"], "--bind_core"),
        (["stray"], "'stray' is not a flag"),
        (["-x"], "'-x' is not a flag"),
    ],
)
def test_a_wrong_word_is_told_with_its_flag(words, told):
    with pytest.raises(UsageError) as caught:
        parse_flags(words)
    assert told in str(caught.value) and caught.value.exit_code == 64


def test_upstreams_way_of_asking_for_core_binding_is_understood():
    assert parse_flags(["--bind_core=1"]).bind_core == "true"


def test_the_entry_points_own_name_of_a_flag_means_the_launchers():
    flags = with_entry_names(
        parse_flags(["--train_batch_size=16", "--device_num", "2"]), TASK, "train"
    )
    assert flags.batch_size == 16 and flags.ranks == 2 and not flags.entry


def test_both_names_with_the_same_value_agree():
    words = ["--batch_size=16", "--train_batch_size=016"]
    assert with_entry_names(parse_flags(words), TASK, "train").batch_size == 16


def test_both_names_with_different_values_are_an_error():
    words = ["--batch_size=16", "--train_batch_size=32"]
    with pytest.raises(UsageError, match="--batch_size=16 and --train_batch_size=32"):
        with_entry_names(parse_flags(words), TASK, "train")


def test_a_wrong_value_under_the_other_name_is_told_under_that_name():
    with pytest.raises(UsageError, match="--train_batch_size"):
        with_entry_names(parse_flags(["--train_batch_size=0"]), TASK, "train")


def test_help_tells_every_flag_and_what_it_does():
    text = help_text("train_full_1p.sh", CARD, TASK, "full_1p")
    for flag in FLAGS:
        assert "--" + flag.name in text
    assert "any folder (required unless --dataset is none)" in text
    assert "python -m fake_net.train --help" in text


@pytest.mark.parametrize("words", [["-h"], ["--seed=1", "--help"]])
def test_help_is_asked_for_anywhere(words):
    assert asks_for_help(words)


@pytest.mark.parametrize(
    "words, seconds",
    [
        ([], 1800.0),
        (["--autotune"], 0.0),
        (["--autotune=True"], 0.0),
        (["--autotune=False"], 1800.0),
        (["--autotune", "--hang_timeout=60"], 60.0),
        (["--hang_timeout=0"], 0.0),
    ],
)
def test_a_rank_hangs_after_half_an_hour_unless_operators_are_tuned(words, seconds):
    assert parse_flags(words).hang_seconds == seconds
