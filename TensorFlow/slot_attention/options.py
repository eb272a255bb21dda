"""The command lines of training and evaluation, for both tasks, as one checked data class."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any, Dict, Optional, Sequence, Tuple

from common.ascend.flags import NPU_FLAGS, NpuFlags, add_npu_flags, recorded
from common.core.command_line import Parser, add_debug_flag, boolean, number_in
from common.core.errors import UsageError, ZooError
from common.training.dump_flags import DUMP_FLAGS, add_dump_flags
from common.training.tensorflow.device_flags import add_device_flags
from slot_attention.data.datasets import DATASET_NAMES
from slot_attention.data.geometry import CROP_NAMES, RESIZE_NAMES
from slot_attention.network.architecture import (
    ARCHITECTURES,
    GAUSSIAN,
    INITIAL_SLOTS,
    SET_STRIDES,
)
from slot_attention.synthetic.on_demand import ON_DEMAND

OBJECT_DISCOVERY, SET_PREDICTION = "object_discovery", "set_prediction"
CACHES = ("disk", "none")
EXPONENTIAL, COSINE = "exponential", "cosine"
ON_DEMAND_OF = {OBJECT_DISCOVERY: "synthetic_sprites", SET_PREDICTION: "synthetic_scenes"}
# The reference's defaults, flag by flag.
DEFAULTS: Dict[str, Dict[str, Any]] = {
    OBJECT_DISCOVERY: {
        "model_dir": "/tmp/object_discovery/",
        "batch_size": 64,
        "num_slots": 7,
        "learning_rate": 4e-4,
        "num_train_steps": 500000,
        "warmup_steps": 10000,
        "decay_rate": 0.5,
        "decay_steps": 100000,
        "evaluation_count": 320,
    },
    SET_PREDICTION: {
        "model_dir": "/tmp/set_prediction/",
        "batch_size": 512,
        "num_slots": 10,
        "learning_rate": 4e-4,
        "num_train_steps": 150000,
        "warmup_steps": 1000,
        "decay_rate": 0.5,
        "decay_steps": 50000,
        "evaluation_count": 512,
    },
}
OF_THE_MACHINE = (
    (
        "model_dir",
        "checkpoint_dir",
        "data_path",
        "cache",
        "cache_path",
        "workers",
        "device",
        "device_id",
        "ranks",
        "resume",
        "log_every",
        "checkpoint_minutes",
        "keep_checkpoints",
        "profile",
        "debug",
        "output_path",
        "full_eval",
    )
    + NPU_FLAGS
    + DUMP_FLAGS
)

# Flags that came later, with what runs did before: recorded only where they say something else, so
# that recipes of earlier records and references are still those of the same runs today.
_LATER: Dict[str, Any] = {"decay": EXPONENTIAL, "encoder_strides": None}


@dataclasses.dataclass(frozen=True)
class Options(NpuFlags):
    """What a run was asked to do; every field is a flag of the same name."""

    task: str
    model_dir: str
    seed: int
    batch_size: int
    num_slots: Optional[int]
    num_iterations: Optional[int]
    learning_rate: float
    num_train_steps: int
    train_epochs: Optional[int]
    warmup_steps: int
    decay: str
    decay_rate: float
    decay_steps: int
    scale_learning_rate: bool
    clip_gradient_norm: float
    architecture: Optional[str]
    encoder_strides: Optional[Tuple[int, ...]]
    resolution: Optional[int]
    initial_slots: str
    implicit_differentiation: bool
    data_path: Optional[str]
    dataset: str
    max_objects: Optional[int]
    crop: Optional[str]
    resize: str
    cache: str
    cache_path: Optional[str]
    workers: Optional[int]
    device: str
    device_id: Optional[int]
    ranks: Optional[int]
    precision_mode: Optional[str]
    loss_scale: Optional[str]
    resume: bool
    checkpoint_dir: Optional[str]
    full_eval: bool
    evaluation_batch_size: int
    evaluation_count: int
    evaluate_every: int
    pictures_every: int
    diagnostics_every: int
    log_every: int
    checkpoint_minutes: float
    keep_checkpoints: int
    profile: bool
    dump_tensors: Optional[int]
    dump_from: Optional[str]
    debug: bool

    def config(self) -> Dict[str, Any]:
        """What decides the result, without paths and devices: the recorded configuration."""
        return dict(
            recorded(self),
            **{
                name: list(value) if isinstance(value, tuple) else value
                for name, value in dataclasses.asdict(self).items()
                if name not in OF_THE_MACHINE and (name not in _LATER or value != _LATER[name])
            },
        )


_count = number_in(int, 1)
_whole = number_in(int, 0)
_positive = number_in(float, 0, low_is_legal=False)


def make_parser(task: str, program: str) -> Parser:
    """The parser of `python -m slot_attention.<task>.<program>`, program train or eval."""
    parser = Parser(prog=f"slot_attention.{task}.{program}")
    training = program == "train"
    _add_data(parser)
    _add_network(parser, task)
    _add_recipe(parser.add_argument_group("recipe"))
    add_device_flags(parser.add_argument_group("device"))
    add_npu_flags(parser, training)
    _add_run(parser, training)
    add_debug_flag(parser)
    parser.set_defaults(**DEFAULTS[task])
    if not training:
        parser.set_defaults(num_slots=None, model_dir=None)
    return parser


def _add_data(parser: Parser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument("--data_path", help="folder of the dataset, or its parent")
    group.add_argument(
        "--dataset",
        choices=DATASET_NAMES,
        default="clevr",
        metavar="NAME",
        help="one of " + ", ".join(DATASET_NAMES),
    )
    group.add_argument(
        "--max_objects",
        type=_count,
        help="only scenes with at most so many objects, the background not counted "
        "(default: 6 for object discovery on CLEVR, else all)",
    )
    group.add_argument(
        "--crop",
        choices=CROP_NAMES,
        help="(default: the reference's for object discovery on CLEVR, else none)",
    )
    group.add_argument(
        "--resize",
        choices=RESIZE_NAMES,
        default="tf2",
        help="how positions are sampled: TensorFlow 2 (the reference) or 1",
    )
    group.add_argument(
        "--cache", choices=CACHES, default="disk", help="keep decoded images on the disk"
    )
    group.add_argument("--cache_path", help="where (default: beside the data)")
    group.add_argument("--workers", type=_count, help="batches prepared at a time (default: cores)")


def _add_network(parser: Parser, task: str) -> None:
    group = parser.add_argument_group("network")
    group.add_argument("--num_slots", type=_count, help="slots K")
    group.add_argument(
        "--num_iterations",
        type=_count,
        help="rounds of attention: 3 unless a checkpoint says otherwise",
    )
    group.add_argument("--resolution", type=_count, help="height and width the network sees")
    group.add_argument(
        "--initial_slots",
        choices=INITIAL_SLOTS,
        default=GAUSSIAN,
        help="drawn from one learned Gaussian (paper), or one learned vector a slot",
    )
    group.add_argument(
        "--implicit_differentiation",
        type=boolean,
        nargs="?",
        const=True,
        default=False,
        help="gradients through the last round of attention only",
    )
    if task == OBJECT_DISCOVERY:
        group.add_argument(
            "--architecture",
            choices=list(ARCHITECTURES),
            metavar="NAME",
            help="one of {} (default: by dataset)".format(", ".join(ARCHITECTURES)),
        )
        group.set_defaults(encoder_strides=None)
    else:
        group.add_argument(
            "--encoder_strides",
            type=_strides,
            metavar="S,S,S,S",
            help="of the encoder's convolutions (default: the checkpoint's, else {})".format(
                ",".join(str(stride) for stride in SET_STRIDES)
            ),
        )
        group.set_defaults(architecture=None)


def _strides(text: str) -> Tuple[int, ...]:
    words = text.split(",")
    if len(words) != len(SET_STRIDES) or any(word not in ("1", "2") for word in words):
        raise argparse.ArgumentTypeError(
            f"{text!r}: give {len(SET_STRIDES)} numbers, each 1 or 2, such as 2,2,1,1"
        )
    return tuple(int(word) for word in words)


def _add_recipe(group: Any) -> None:
    group.add_argument("--batch_size", type=_count, help="images per device")
    group.add_argument("--learning_rate", type=_positive, help="peak, after the warm-up")
    group.add_argument("--num_train_steps", type=_count, help="optimizer steps")
    group.add_argument(
        "--train_epochs", type=_count, help="passes over the data, in place of --num_train_steps"
    )
    group.add_argument("--warmup_steps", type=_whole, help="steps in which the rate rises from 0")
    group.add_argument(
        "--decay",
        choices=(EXPONENTIAL, COSINE),
        default=EXPONENTIAL,
        help="of the rate: by --decay_rate (paper), or a half cosine to 0 at the end",
    )
    group.add_argument(
        "--decay_rate",
        type=number_in(float, 0, 1, low_is_legal=False),
        help="the rate's factor per --decay_steps",
    )
    group.add_argument("--decay_steps", type=_count, help="steps per --decay_rate")
    group.add_argument(
        "--scale_learning_rate",
        type=boolean,
        default=True,
        help="times the square root of the number of ranks",
    )
    group.add_argument(
        "--clip_gradient_norm",
        type=number_in(float, 0),
        default=0.0,
        help="largest norm of the gradient; 0: no clipping (paper)",
    )
    group.add_argument(
        "--seed",
        type=number_in(int, 0, 2**31 - 1),
        default=0,
        help="of weights, order and drawn slots",
    )


def _add_run(parser: Parser, training: bool) -> None:
    group = parser.add_argument_group("run")
    group.add_argument(
        "--model_dir", "--output_path", dest="model_dir", help="folder for all that is written"
    )
    group.add_argument("--evaluation_batch_size", type=_count, default=16, help="per device")
    group.add_argument("--evaluation_count", type=_count, help="scenes evaluated")
    if training:
        _add_training(group)
        group.set_defaults(checkpoint_dir=None, full_eval=False)
        return
    group.add_argument(
        "--checkpoint_dir",
        help="a run folder, a checkpoint in it, or a published TensorFlow checkpoint",
    )
    group.add_argument(
        "--full_eval",
        type=boolean,
        nargs="?",
        const=True,
        default=False,
        help="the whole split, not --evaluation_count scenes of it",
    )
    group.set_defaults(
        resume=False,
        evaluate_every=0,
        pictures_every=0,
        diagnostics_every=0,
        log_every=1,
        checkpoint_minutes=0.0,
        keep_checkpoints=1,
        profile=False,
        dump_tensors=None,
        dump_from=None,
    )


def _add_training(group: Any) -> None:
    group.add_argument(
        "--resume",
        type=boolean,
        nargs="?",
        const=True,
        default=False,
        help="go on from the newest checkpoint in --model_dir",
    )
    group.add_argument(
        "--evaluate_every",
        type=_whole,
        default=5000,
        help="steps between validations; 0: none on the way",
    )
    group.add_argument(
        "--pictures_every", type=_whole, default=5000, help="steps between pictures; 0: none"
    )
    group.add_argument(
        "--diagnostics_every",
        type=_whole,
        default=500,
        help="steps between diagnostics of the slots; 0: none",
    )
    group.add_argument("--log_every", type=_count, default=100, help="steps between lines")
    group.add_argument(
        "--checkpoint_minutes",
        type=number_in(float, 0),
        default=10.0,
        help="longest time between checkpoints; 0: every step",
    )
    group.add_argument("--keep_checkpoints", type=_count, default=3, help="how many are kept")
    add_dump_flags(group)
    group.add_argument(
        "--profile",
        "--profiling",
        dest="profile",
        type=boolean,
        nargs="?",
        const=True,
        default=False,
        help="write a timeline of one step, for chrome://tracing (on an NPU: the "
        "device's own profile)",
    )


def parser_of(entry_point: str) -> Parser:
    """The parser of an entry point by its module's name, for the launcher."""
    _, task, program = entry_point.split(".")
    return make_parser(task, program)


def parse_options(task: str, program: str, argv: Optional[Sequence[str]]) -> Options:
    """Reads a command line.

    Raises:
        UsageError: unknown flag, wrong type, value out of range, flags that contradict.
        ZooError: --data_path or --checkpoint_dir is missing.
    """
    return _checked(make_parser(task, program).parse_args(argv), task, program)


def _checked(namespace: argparse.Namespace, task: str, program: str) -> Options:
    options = Options(task=task, **vars(namespace))
    if not options.data_path and options.dataset not in ON_DEMAND:
        raise ZooError(
            f"--data_path is missing: give the folder of {options.dataset}, or --dataset "
            f"{ON_DEMAND_OF[task]}, which "
            "needs none"
        )
    if program == "eval" and not options.checkpoint_dir:
        raise UsageError(
            "--checkpoint_dir is missing: give the folder of a training run, or a checkpoint"
        )
    if options.implicit_differentiation and options.num_iterations == 1:
        raise UsageError(
            "--implicit_differentiation needs --num_iterations 2 or more: with one "
            "round there is nothing to leave out"
        )
    return options
