"""The flags of training and evaluation, for both tasks, each declared once."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
from typing import Any, Callable, Dict, Optional, Sequence, Tuple, Type, TypeVar

from common.ascend.flags import NpuFlags
from common.core.command_line import Parser, number_in
from common.core.errors import UsageError, ZooError
from common.core.flags import (
    LATER,
    Program,
    count,
    flag,
    not_negative,
    path,
    positive,
    unrecorded,
    whole,
)
from common.training.flags import (
    DECAYS,
    EXPONENTIAL,
    CheckpointFlags,
    DeviceFlags,
    DumpFlags,
)
from slot_attention.data.datasets import DATASET_NAMES, SYNTHETIC
from slot_attention.data.geometry import CROP_NAMES, RESIZE_NAMES
from slot_attention.network.architecture import (
    ARCHITECTURES,
    GAUSSIAN,
    INITIAL_SLOTS,
    SET_STRIDES,
)

OBJECT_DISCOVERY, SET_PREDICTION = "object_discovery", "set_prediction"
TRAIN, EVAL = "train", "eval"
CACHES = ("disk", "none")
ON_DEMAND_OF = {OBJECT_DISCOVERY: "synthetic_sprites", SET_PREDICTION: "synthetic_scenes"}


def _strides(text: str) -> Tuple[int, ...]:
    words = text.split(",")
    if len(words) != len(SET_STRIDES) or any(word not in ("1", "2") for word in words):
        raise argparse.ArgumentTypeError(
            f"{text!r}: give {len(SET_STRIDES)} numbers, each 1 or 2, such as 2,2,1,1"
        )
    return tuple(int(word) for word in words)


@dataclasses.dataclass(frozen=True)
class SceneOptions(CheckpointFlags, DeviceFlags, DumpFlags):
    """What a run was asked to do; every field but the task is a flag of the same name."""

    task: str = ""

    data_path: Optional[str] = unrecorded(
        "folder of the dataset, or its parent", kind=path, names=("--data_url",), group="data"
    )
    dataset: str = flag(
        f"one of {', '.join(DATASET_NAMES)}", "clevr", choices=DATASET_NAMES, metavar="NAME"
    )
    max_objects: Optional[int] = flag(
        "only scenes with at most so many objects, the background not counted "
        "(default: 6 for object discovery on CLEVR, else all)",
        kind=count,
    )
    crop: Optional[str] = flag(
        "(default: the reference's for object discovery on CLEVR, else none)", choices=CROP_NAMES
    )
    resize: str = flag(
        "how positions are sampled: TensorFlow 2 (the reference) or 1", "tf2", choices=RESIZE_NAMES
    )
    cache: str = unrecorded("keep prepared scenes there, or in memory", "disk", choices=CACHES)
    cache_path: Optional[str] = unrecorded("where (default: beside the data)", kind=path)
    workers: Optional[int] = unrecorded("processes that prepare (default: cores)", kind=count)

    num_slots: Optional[int] = flag("slots K", kind=count, group="network")
    num_iterations: Optional[int] = flag(
        "rounds of attention: 3 unless a checkpoint says otherwise", kind=count
    )
    resolution: Optional[int] = flag("height and width the network sees", kind=count)
    initial_slots: str = flag(
        "drawn from one learned Gaussian (paper), or one learned vector a slot",
        GAUSSIAN,
        choices=INITIAL_SLOTS,
    )
    implicit_differentiation: bool = flag(
        "gradients through the last round of attention only", False
    )
    architecture: Optional[str] = flag(
        f"one of {', '.join(ARCHITECTURES)} (default: by dataset)",
        choices=list(ARCHITECTURES),
        metavar="NAME",
        only=(OBJECT_DISCOVERY,),
    )
    encoder_strides: Optional[Tuple[int, ...]] = flag(
        "of the encoder's convolutions (default: the checkpoint's, else "
        f"{','.join(map(str, SET_STRIDES))})",
        kind=_strides,
        metavar="S,S,S,S",
        only=(SET_PREDICTION,),
        recorded=LATER,
    )

    batch_size: int = flag("images per device", 64, kind=count, group="recipe")
    learning_rate: float = flag("peak, after the warm-up", 4e-4, kind=positive)
    num_train_steps: int = flag("optimizer steps", kind=count, names=("--train_steps",))
    train_epochs: Optional[int] = flag(
        "passes over the data, in place of --num_train_steps", kind=count
    )
    warmup_steps: int = flag("steps in which the rate rises from 0", kind=whole)
    decay: str = flag(
        "of the rate: by --decay_rate (paper), or a half cosine to 0 at the end",
        EXPONENTIAL,
        choices=DECAYS,
        recorded=LATER,
    )
    decay_rate: float = flag(
        "the rate's factor per --decay_steps", 0.5, kind=number_in(float, 0, 1, False)
    )
    decay_steps: int = flag("steps per --decay_rate", kind=count)
    scale_learning_rate: bool = flag("times the square root of the number of ranks", True)
    clip_gradient_norm: float = flag(
        "largest norm of the gradient; 0: no clipping (paper)", 0.0, kind=not_negative
    )
    seed: int = flag("of weights, order and drawn slots", 0, kind=number_in(int, 0, 2**31 - 1))

    model_dir: Optional[str] = unrecorded(
        "folder for all that is written (default: of a training in /tmp, of an evaluation beside "
        "the checkpoint)",
        kind=path,
        names=("--output_path", "--train_url"),
        group="run",
    )
    evaluation_batch_size: int = flag("per device", 16, kind=count)
    evaluation_count: int = flag("scenes evaluated", kind=count)
    checkpoint_dir: Optional[str] = unrecorded(
        "a run folder, a checkpoint in it, or a published TensorFlow checkpoint",
        kind=path,
        names=("--checkpoint",),
        only=(EVAL,),
    )
    full_eval: bool = unrecorded(
        "the whole split, not --evaluation_count scenes of it", False, only=(EVAL,)
    )
    evaluate_every: int = flag(
        "steps between validations; 0: none on the way", 5000, kind=whole, only=(TRAIN,)
    )
    pictures_every: int = flag("steps between pictures; 0: none", 5000, kind=whole, only=(TRAIN,))
    diagnostics_every: int = flag(
        "steps between diagnostics of the slots; 0: none", 500, kind=whole, only=(TRAIN,)
    )
    log_every: int = unrecorded("steps between lines", 100, kind=count, only=(TRAIN,))
    profile: bool = unrecorded(
        "write a timeline of one step, for chrome://tracing (on an NPU: the device's own profile)",
        False,
        names=("--profiling",),
        only=(TRAIN,),
    )


@dataclasses.dataclass(frozen=True)
class Options(SceneOptions, NpuFlags):
    """The same, with what only TensorFlow on an NPU knows."""


# The reference's defaults, flag by flag, and what an evaluation has in place of a training's.
DEFAULTS: Dict[str, Dict[str, Any]] = {
    OBJECT_DISCOVERY: {
        "task": OBJECT_DISCOVERY,
        "model_dir": "/tmp/object_discovery/",
        "num_slots": 7,
        "num_train_steps": 500000,
        "warmup_steps": 10000,
        "decay_steps": 100000,
        "evaluation_count": 320,
    },
    SET_PREDICTION: {
        "task": SET_PREDICTION,
        "model_dir": "/tmp/set_prediction/",
        "batch_size": 512,
        "num_slots": 10,
        "num_train_steps": 150000,
        "warmup_steps": 1000,
        "decay_steps": 50000,
        "evaluation_count": 512,
    },
}
_OF_AN_EVALUATION: Dict[str, Any] = {
    "model_dir": None,
    "num_slots": None,
    "evaluate_every": 0,
    "pictures_every": 0,
    "diagnostics_every": 0,
}


Kind = TypeVar("Kind", bound=SceneOptions)
Main = Callable[[Optional[Sequence[str]]], int]


def program_of(package: str, kind: Type[Kind], task: str, program: str) -> Program[Kind]:
    """The flags of `python -m <package>.<task>.<program>`."""
    defaults = dict(DEFAULTS[task], **(_OF_AN_EVALUATION if program == EVAL else {}))
    return Program(f"{package}.{task}.{program}", kind, (task, program), defaults)


def parser_of(entry_point: str) -> Parser:
    """The parser of an entry point by its module's name, for the launcher."""
    package, task, program = entry_point.split(".")
    return program_of(package, Options, task, program).parser()


def parse_options(task: str, program: str, argv: Optional[Sequence[str]]) -> Options:
    """Reads the command line of `python -m slot_attention.<task>.<program>`; see checked."""
    return checked(program_of("slot_attention", Options, task, program).read(argv), program)


def checked(options: Kind, program: str) -> Kind:
    """Options that were read, with the reference's place of a checkpoint where none is given.

    Raises:
        UsageError: flags that contradict.
        ZooError: --data_path or --checkpoint_dir is missing.
    """
    task = options.task
    if not options.data_path and options.dataset not in SYNTHETIC:
        raise ZooError(
            f"--data_path is missing: give the folder of {options.dataset}, or --dataset "
            f"{ON_DEMAND_OF[task]}, which needs none"
        )
    trained = DEFAULTS[task]["model_dir"]
    if program == EVAL and not options.checkpoint_dir and os.path.isdir(trained):
        options = dataclasses.replace(options, checkpoint_dir=trained)  # as the reference does
    if program == EVAL and not options.checkpoint_dir:
        raise UsageError(
            "--checkpoint_dir is missing: give the folder of a training run, or a checkpoint "
            f"(default: {trained}, which is not there)"
        )
    if options.implicit_differentiation and options.num_iterations == 1:
        raise UsageError(
            "--implicit_differentiation needs --num_iterations 2 or more: with one round there is "
            "nothing to leave out"
        )
    return options


def entry_point(
    task: str,
    program: str,
    package: str = "slot_attention",
    parse: Callable[[str, str, Optional[Sequence[str]]], SceneOptions] = parse_options,
) -> Main:
    """What `python -m <package>.<task>.<program>` does, from its words to its exit code."""

    def main(argv: Optional[Sequence[str]] = None) -> int:
        options = parse(task, program, argv)
        # After the flags: a framework takes seconds to import, a wrong flag should not.
        training = importlib.import_module(f"{package}.training")
        run = {TRAIN: "run_training", EVAL: "run_evaluation"}[program]
        return int(getattr(training, run)(options))

    return main
