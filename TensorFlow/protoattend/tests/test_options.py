"""The command lines: the original README's flags, their other names, contradictions."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.core.errors import UsageError
from protoattend.options import EVALUATE, EXPLAIN, QUIRKS, TRAIN, make_parser, parse_options

# The flags of the original README with their defaults, or this project's where they differ.
ORIGINAL = {
    "random_seed": 1,
    "num_steps": 100000,
    "display_step": 500,
    "val_step": 400,
    "save_step": 4000,
    "init_learning_rate": 0.001,
    "decay_every": 2000,
    "decay_rate": 0.9,
    "gradient_thresh": 20,
    "batch_size": 128,
    "example_cand_size": 1024,
    "eval_cand_size": 1024,
    "train_url": "../output",
    "data_url": "../dataset",
    "result": "/cache/result",
    "profiling": False,
    "attention_dim": 16,
    "val_dim": 64,
    "final_units": 256,
    "normalization": "sparsemax",
    "epsilon_sparsity": 1e-6,
    "sparsity_weight": 1e-4,
    "alpha_intermediate": 0.5,
    "device": "auto",
    "platform": "linux",
}


@pytest.mark.parametrize("name", sorted(ORIGINAL))
def test_the_original_flags_have_their_defaults(name):
    assert getattr(parse_options(TRAIN, []), name) == ORIGINAL[name]


def test_later_flags_are_recorded_only_where_they_say_something_new():
    assert not {"decay", "warmup_steps"} & set(parse_options(TRAIN, []).config())
    found = parse_options(TRAIN, ["--decay=cosine", "--warmup_steps=3"]).config()
    assert (found["decay"], found["warmup_steps"]) == ("cosine", 3)


@pytest.mark.parametrize(
    "word",
    ["--" + name for name in ORIGINAL if name != "device"]
    + [
        "--chip",
        "--obs_dir",
        "--img_size",
        "--num_classes",
        "--data_path",
        "--output_path",
        "--precision_mode",
        "--device",
        "--resume",
    ],
)
def test_every_flag_of_the_original_is_known(word):
    known = {option for action in make_parser(TRAIN)._actions for option in action.option_strings}
    assert word in known


@pytest.mark.parametrize(
    "words, field, value",
    [
        (["--chip", "cpu"], "device", "cpu"),
        (["--data_url", "/d"], "data_url", "/d"),
        (["--data_path", "/d"], "data_url", "/d"),
        (["--output_path=/o"], "train_url", "/o"),
        (["--seed", "3"], "random_seed", 3),
        (["--data_path", "/d", "--data_url", "/d"], "data_url", "/d"),
    ],
)
def test_a_flag_may_be_given_by_any_of_its_names(words, field, value):
    assert getattr(parse_options(TRAIN, words), field) == value


@pytest.mark.parametrize(
    "words",
    [
        ["--chip", "cpu", "--device", "gpu"],
        ["--data_path", "/a", "--data_url", "/b"],
        ["--output_path", "/a", "--train_url", "/b"],
    ],
)
def test_two_names_with_two_values_contradict(words):
    with pytest.raises(UsageError, match="contradict each other"):
        parse_options(TRAIN, words)


def test_parity_switches_every_quirk_to_the_references_way():
    ours, theirs = parse_options(TRAIN, []), parse_options(TRAIN, ["--parity"])
    for name, (sound, reference) in QUIRKS.items():
        assert (getattr(ours, name), getattr(theirs, name)) == (sound, reference)


@pytest.mark.parametrize("name", sorted(QUIRKS))
def test_a_quirk_alone_goes_before_parity(name):
    sound = QUIRKS[name][0]
    options = parse_options(TRAIN, ["--parity", f"--{name}={sound}"])
    assert getattr(options, name) == sound


def test_embedded_data_needs_no_folder():
    assert parse_options(TRAIN, ["--dataset", "digits"]).data_url is None


@pytest.mark.parametrize(
    "program, words, what",
    [
        (EVALUATE, [], "--checkpoint is missing"),
        (TRAIN, ["--freeze_encoder"], "needs --encoder_checkpoint"),
        (TRAIN, ["--platform", "modelarts"], "needs --obs_dir"),
        (TRAIN, ["--batch_size", "0"], "--batch_size"),
        (TRAIN, ["--learning_rate", "1"], "--learning_rate"),
        (EVALUATE, ["--out_of_distribution", "cats"], "no set 'cats'"),
    ],
)
def test_what_can_not_be_is_one_clear_line(program, words, what):
    with pytest.raises(UsageError, match=what):
        parse_options(program, words)


def test_the_recorded_configuration_has_no_folder():
    config = parse_options(TRAIN, ["--data_path", "/somewhere", "--output_path", "/else"]).config()
    assert not [value for value in config.values() if value in ("/somewhere", "/else")]
    assert config["num_steps"] == 100000


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_readme_tells_every_flag(readme):
    text = (Path(__file__).resolve().parents[1] / readme).read_text(encoding="utf-8")
    flags = {
        action.option_strings[0]
        for program in (TRAIN, EVALUATE, EXPLAIN)
        for action in make_parser(program)._actions
    } - {"-h"}
    assert not [
        flag
        for flag in sorted(flags)
        if f"`{flag}`" not in text and flag + " " not in text and flag + "=" not in text
    ]


@pytest.mark.parametrize(
    "program, word",
    [
        (EVALUATE, "--num_steps=3"),
        (EXPLAIN, "--l2_weight=1"),
        (TRAIN, "--gallery_count=3"),
        (EXPLAIN, "--out_of_distribution=noise"),
        (EVALUATE, "--one_step_less"),
    ],
)
def test_a_flag_that_would_change_nothing_is_not_known(program, word):
    with pytest.raises(UsageError, match="unrecognized arguments"):
        parse_options(program, ["--checkpoint", "x", word] if program != TRAIN else [word])
