"""The command lines: the original README's flags, their other names, contradictions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.core.errors import UsageError
from protoattend.options import EVALUATE, EXPLAIN, QUIRKS, TRAIN, parse_options, parser_of

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
    "obs_dir": "",
    "img_size": None,
    "num_classes": None,
    "profiling": False,
    "attention_dim": 16,
    "val_dim": 64,
    "final_units": 256,
    "normalization": "sparsemax",
    "epsilon_sparsity": 1e-6,
    "sparsity_weight": 1e-4,
    "alpha_intermediate": 0.5,
    "platform": "linux",
}


def names_of(program):
    return [action.option_strings for action in parser_of("protoattend." + program)._actions]


def test_the_original_flags_are_known_with_their_defaults():
    options = parse_options(TRAIN, [])
    assert {name: getattr(options, name) for name in ORIGINAL} == ORIGINAL
    known = [name for names in names_of(TRAIN) for name in names]
    assert {"--" + name for name in ORIGINAL} | {"--chip"} <= set(known)


def test_later_flags_are_recorded_only_where_they_say_something_new():
    plain = parse_options(TRAIN, ["--data_path", "/somewhere", "--output_path", "/else"]).config()
    assert not {"decay", "warmup_steps", "data_url", "train_url"} & set(plain)
    found = parse_options(TRAIN, ["--decay=cosine", "--warmup_steps=3"]).config()
    assert (found["decay"], found["warmup_steps"], found["num_steps"]) == ("cosine", 3, 100000)


@pytest.mark.parametrize(
    "words, field, value",
    [
        (["--chip", "cpu"], "device", "cpu"),
        (["--data_url", "/d"], "data_url", "/d"),
        (["--data_path", "/d"], "data_url", "/d"),
        (["--output_path=/o"], "train_url", "/o"),
        (["--seed", "3"], "random_seed", 3),
        (["--train_steps", "3"], "num_steps", 3),
        (["--log_every", "3"], "display_step", 3),
        (["--dataset", "digits"], "data_url", None),
    ],
)
def test_a_flag_may_be_given_by_any_of_its_names(words, field, value):
    assert getattr(parse_options(TRAIN, words), field) == value


def test_parity_switches_every_quirk_to_the_references_way_unless_it_is_given():
    ours, theirs = parse_options(TRAIN, []), parse_options(TRAIN, ["--parity"])
    for name, (sound, reference) in QUIRKS.items():
        assert (getattr(ours, name), getattr(theirs, name)) == (sound, reference)
        assert getattr(parse_options(TRAIN, ["--parity", f"--{name}={sound}"]), name) == sound


@pytest.mark.parametrize(
    "program, words, what",
    [
        (EVALUATE, [], "--checkpoint is missing"),
        (TRAIN, ["--freeze_encoder"], "needs --encoder_checkpoint"),
        (TRAIN, ["--platform", "modelarts"], "needs --obs_dir"),
        (TRAIN, ["--learning_rate", "1"], "--learning_rate"),
        (EVALUATE, ["--out_of_distribution", "cats"], "no set 'cats'"),
        # A flag that would change nothing is not known.
        (EVALUATE, ["--checkpoint=x", "--num_steps=3"], "unrecognized arguments"),
        (EVALUATE, ["--checkpoint=x", "--one_step_less"], "unrecognized arguments"),
        (EXPLAIN, ["--checkpoint=x", "--l2_weight=1"], "unrecognized arguments"),
        (EXPLAIN, ["--checkpoint=x", "--out_of_distribution=noise"], "unrecognized arguments"),
        (TRAIN, ["--gallery_count=3"], "unrecognized arguments"),
    ],
)
def test_what_can_not_be_is_one_clear_line(program, words, what):
    with pytest.raises(UsageError, match=what):
        parse_options(program, words)


def test_flags_data_metrics_and_gallery_need_no_framework():
    modules = "options data.batches data.datasets data.other_sets metrics.report gallery.prototypes"
    words = ", ".join(f"protoattend.{name}" for name in [*modules.split(), "gallery.curves"])
    code = f"import sys, {words}; sys.exit(bool({{'tensorflow', 'torch'}} & set(sys.modules)))"
    path = os.pathsep.join(filter(None, sys.path))
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_readme_tells_every_flag(readme):
    text = (Path(__file__).resolve().parents[1] / readme).read_text(encoding="utf-8")
    flags = [names for program in (TRAIN, EVALUATE, EXPLAIN) for names in names_of(program)]
    assert not [
        names[0]
        for names in flags
        if names[0] != "-h"
        and not any(f"`{n}`" in text or n + " " in text or n + "=" in text for n in names)
    ]
