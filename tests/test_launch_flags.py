"""The flags of the launcher and of every launch script."""

import pytest

from common.cards.model_card import read_card
from common.core.errors import UsageError, ZooError
from common.launch.flags import (
    LaunchFlags,
    Target,
    check_required,
    find_target,
    launch_parser,
    parse_flags,
)
from tests.fake_zoo import FAKE_MODEL

CARD = read_card(FAKE_MODEL / "PyTorch" / "fake_net" / "model.yaml")
TASK = CARD.task(None)
FAKE = Target(CARD, TASK, TASK.cases["full_1p"])
PROTO = find_target("protoattend", "full_1p")


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--train_steps=5"], {"train_steps": 5}),
        (["--train-steps", "5"], {"train_steps": 5}),
        (["--data_path=/a=b"], {"data_path": "/a=b"}),
        (["--data_url=/a", "--train_url=/b"], {"data_path": "/a", "output_path": "/b"}),
        (["--resume", "--seed", "3"], {"resume": True, "seed": 3}),
        (["--resume=False"], {"resume": False}),
        (["--seed=1", "--seed=2"], {"seed": 2}),
        (["--device=NPU"], {"device": "npu"}),
        (["--seeds=0,2"], {"seeds": (0, 2)}),
        (["--bind_core=1"], {"bind_core": "true"}),  # the port's way of asking
        (["--train_batch_size=16", "--device_num", "2"], {"batch_size": 16, "ranks": 2}),
        (["--batch_size=16", "--train_batch_size=016"], {"batch_size": 16}),
        (
            ["--dataset", "a", "--save-every=1", "--no_steps"],
            {"entry": {"dataset": "a", "save_every": "1", "no_steps": None}},
        ),
        (["--step_seconds", "-0.5"], {"entry": {"step_seconds": "-0.5"}}),
    ],
)
def test_flags_are_read_by_the_names_of_launcher_and_entry_point(words, expected):
    assert parse_flags(FAKE, words) == LaunchFlags(**expected)


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--num_steps=5", "--chip=cpu"], {"train_steps": 5, "device": "cpu"}),
        (["--random_seed=3"], {"seed": 3}),
        (["--log-every=7"], {"entry": {"display_step": "7"}}),
        (["--flip"], {"entry": {"flip": None}}),
    ],
)
def test_the_entry_points_flags_are_known_by_all_their_names(words, expected):
    assert parse_flags(PROTO, words) == LaunchFlags(**expected)
    assert parse_flags(PROTO, parse_flags(PROTO, words).words()) == LaunchFlags(**expected)


@pytest.mark.parametrize(
    "target, words, told",
    [
        (FAKE, ["--batch_size=0"], "--batch_size.*: expected at least 1"),
        (FAKE, ["--train_batch_size=0"], "--train_batch_size.*: expected at least 1"),
        (FAKE, ["--device=tpu"], "--device.*: invalid choice: 'tpu'"),
        (FAKE, ["--resume=maybe"], "--resume: expected true or false"),
        (FAKE, ["--master_port=70000"], "at most 65535"),
        (FAKE, ["--ranks=1000000"], "at most 4096"),
        (FAKE, ["--nnodes=1000000"], "at most 4096"),
        (FAKE, ["--hang_timeout=-1"], "--hang_timeout"),
        (FAKE, ["--data_path"], "--data_path.*: expected one argument"),
        (FAKE, ["--data_path="], "--data_path.*: expected a path"),
        (FAKE, ["--bind_core=often"], "--bind_core"),
        (FAKE, ["stray"], "stray is a flag neither of zoo launch nor of fake_net.train"),
        (FAKE, ["-x"], "-x is a flag neither"),
        (FAKE, ["--batch_size=16", "--train_batch_size=32"], "=16 and --train_batch_size=32"),
        *[(FAKE, ["--seeds=" + text], "--seeds: expected whole") for text in ("", "0,,1", "-1")],
        (FAKE, ["--seeds=1,1"], "--seeds: a seed is given twice"),
        (PROTO, ["--exampel_cand_size=6"], "--exampel_cand_size .*mean --example_cand_size?"),
        (PROTO, ["--train_step=64"], "--train_step .*did you mean --train_steps?"),
        (PROTO, ["--seed=1", "--random_seed=2"], "contradict"),
    ],
)
def test_a_wrong_word_is_told_with_its_flag(target, words, told):
    with pytest.raises(UsageError, match=told) as caught:
        parse_flags(target, words)
    assert caught.value.exit_code == 64


@pytest.mark.parametrize(
    "model, case, words, told",
    [
        ("no_net", "smoke", [], "no_net"),
        ("slot_attention", None, [], "which case of slot_attention. There are: .*smoke"),
        ("slot_attention", "smok", [], "has no case 'smok'; there are: "),
        ("slot_attention/set_prediction", "smoke", ["--task=object_discovery"], "give one of them"),
        ("slot_attention", "smoke", ["--task", "x"], "has no task 'x'"),
    ],
)
def test_what_is_to_be_launched_is_found_by_name(model, case, words, told):
    with pytest.raises(UsageError, match=told):
        find_target(model, case, words)
    assert find_target("slot_attention", "smoke", ["--task=set_prediction"]) == find_target(
        "slot_attention/set_prediction", "smoke"
    )


def test_a_required_flag_is_missed_unless_another_excuses_it():
    for words in (["--data_path=x"], ["--dataset=none"]):
        check_required(FAKE, parse_flags(FAKE, words))
    for words in ([], ["--dataset=other"]):
        with pytest.raises(ZooError, match="--data_path is missing"):
            check_required(FAKE, parse_flags(FAKE, words))


def test_help_tells_the_case_what_is_required_every_flag_and_where_the_others_are():
    text = launch_parser(FAKE).format_help()
    assert all(f"--{name}" in text for name in LaunchFlags.__dataclass_fields__ if name != "entry")
    assert "required: --data_path, any folder (unless --dataset is none)" in text
    assert "python -m fake_net.train --help" in text


@pytest.mark.parametrize(
    "words, seconds",
    [
        ([], 1800.0),
        (["--autotune"], 0.0),
        (["--autotune=False"], 1800.0),
        (["--autotune", "--hang_timeout=60"], 60.0),
        (["--hang_timeout=0"], 0.0),
    ],
)
def test_a_rank_hangs_after_half_an_hour_unless_operators_are_tuned(words, seconds):
    assert parse_flags(PROTO, words).hang_seconds == seconds
