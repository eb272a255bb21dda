"""The flags of training, evaluation and fine-tuning, as one checked data class."""

from __future__ import annotations

import argparse
import dataclasses
import os
from typing import Any, Dict, Optional, Sequence

from common.core.command_line import Parser, add_debug_flag, boolean, number_in
from common.core.errors import UsageError, ZooError
from common.training.dump_flags import DUMP_FLAGS, add_dump_flags
from common.training.torch.profile import profiling
from residual_attention_net.network.networks import DEFAULT_NETWORK, NETWORKS
from residual_attention_net.recipes import RECIPES

DATASETS = ("cifar10", "digits", "synthetic", "synthetic_volumes", "images")
NEEDS_FILES = ("cifar10", "images")
PORTS_DATA = "data"  # where the 3d_attention_net port reads, with no flag for it
PATHS = ("data_path", "output_path", "pth_path")
DEFAULTS_OF: Dict[str, Dict[str, Any]] = {
    "evaluate": {"is_train": False},
    "finetune": {"is_pretrain": True, "total_epochs": 30},
}
OF_THE_MACHINE = (
    PATHS
    + (
        "resume",
        "debug",
        "device_type",
        "device_id",
        "device_num",
        "dist_url",
        "log_every",
        "pictures_every",
        "checkpoint_minutes",
        "keep_checkpoints",
        "workers",
        "profiling",
    )
    + DUMP_FLAGS
)
OF_TENSORFLOW = ("data_dump_flag", "over_dump", "autotune")  # ModelZoo's scripts give them, off


@dataclasses.dataclass(frozen=True)
class Options:
    """What a run was asked to do; every field is a flag of the same name."""

    data_path: Optional[str]
    dataset: str
    output_path: str
    network: Optional[str]
    spatial_dims: int
    num_classes: Optional[int]
    recipe: str
    total_epochs: int
    train_steps: Optional[int]
    train_batch_size: int
    test_batch_size: int
    learning_rate: Optional[float]
    scale_learning_rate: bool
    validation_count: Optional[int]
    limit_train: Optional[int]
    limit_test: Optional[int]
    loader: str
    workers: int
    device_type: str
    device_id: int
    device_num: int
    dist_url: Optional[str]
    precision_mode: Optional[str]
    opt_level: Optional[str]
    loss_scale: Optional[str]
    channels_last: Optional[bool]
    compile: bool
    sync_batch_norm: bool
    clip_gradient_norm: float
    seed: int
    resume: bool
    is_train: bool
    is_pretrain: bool
    pth_path: Optional[str]
    log_every: int
    evaluate_every: int
    pictures_every: int
    checkpoint_minutes: float
    keep_checkpoints: int
    profiling: bool
    dump_tensors: Optional[int]
    dump_from: Optional[str]
    debug: bool

    def config(self) -> Dict[str, Any]:
        """What decides the result, without paths and devices: the recorded configuration."""
        return {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if name not in OF_THE_MACHINE
        }


def make_parser(program: str) -> Parser:
    """The parser of `python -m residual_attention_net.<program>`."""
    parser = Parser(prog="residual_attention_net." + program)
    _add_data(parser)
    _add_network(parser)
    _add_recipe(parser)
    _add_device(parser)
    _add_run(parser)
    _add_flags_of_tensorflow(parser)
    parser.set_defaults(**dict.fromkeys(DUMP_FLAGS))
    if program != "evaluate":
        add_dump_flags(parser.add_argument_group("comparing runs"))
    add_debug_flag(parser)
    parser.set_defaults(**DEFAULTS_OF.get(program, {}))
    return parser


_count = number_in(int, 1)
_whole = number_in(int, 0)


def _add_data(parser: Parser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument("--data_path", help="folder of the dataset, or its parent")
    group.add_argument("--dataset", choices=DATASETS, default="cifar10", help="what to learn")
    group.add_argument(
        "--validation_count",
        type=_whole,
        help="training images kept for choosing; 0: none (default: a tenth)",
    )
    group.add_argument("--limit_train", type=_count, help="train on this many images only")
    group.add_argument("--limit_test", type=_count, help="test on this many images only")
    group.add_argument(
        "--loader",
        choices=("device", "torchvision"),
        default="device",
        help="batched augmentation on the device, or the reference's DataLoader",
    )
    group.add_argument(
        "--workers", type=_whole, default=2, help="worker processes of --loader torchvision"
    )


def _add_network(parser: Parser) -> None:
    group = parser.add_argument_group("network")
    group.add_argument(
        "--network",
        choices=list(NETWORKS),
        metavar="NAME",
        help="one of {} (default: that of the weights, else {})".format(
            ", ".join(NETWORKS), DEFAULT_NETWORK
        ),
    )
    group.add_argument(
        "--spatial_dims", type=int, choices=(2, 3), default=2, help="2 for images, 3 for volumes"
    )
    group.add_argument(
        "--num_classes",
        type=_count,
        help="outputs of the network (default: the classes of the dataset)",
    )
    group.add_argument(
        "--is_pretrain",
        type=boolean,
        nargs="?",
        const=True,
        default=False,
        help="start from the weights of --pth_path",
    )
    group.add_argument("--pth_path", help="weights: a checkpoint, or a state_dict as published")


def _add_recipe(parser: Parser) -> None:
    group = parser.add_argument_group("recipe")
    group.add_argument(
        "--recipe", choices=sorted(RECIPES), default="reference", help="how to train"
    )
    group.add_argument("--total_epochs", type=_count, default=300, help="passes over the data")
    group.add_argument(
        "--train_steps", type=_count, help="optimizer steps in all, in place of --total_epochs"
    )
    group.add_argument("--train_batch_size", type=_count, default=64, help="per device")
    group.add_argument("--test_batch_size", type=_count, default=128, help="per device")
    group.add_argument(
        "--learning_rate",
        type=number_in(float, 0, low_is_legal=False),
        help="peak, before scaling (default: the recipe's)",
    )
    group.add_argument(
        "--scale_learning_rate",
        type=boolean,
        default=True,
        help="raise it with the global batch, with warm-up",
    )
    group.add_argument(
        "--clip_gradient_norm",
        type=number_in(float, 0),
        default=0.0,
        help="largest norm of the gradient; 0: no clipping",
    )
    group.add_argument(
        "--sync_batch_norm",
        type=boolean,
        nargs="?",
        const=True,
        default=False,
        help="batch norm over the batches of all ranks",
    )
    group.add_argument(
        "--seed",
        type=number_in(int, 0, 2**31 - 1),
        default=0,
        help="of weights, order and augmentation",
    )


def _add_device(parser: Parser) -> None:
    group = parser.add_argument_group("device")
    group.add_argument(
        "--device_type",
        type=str.lower,  # the port's scripts say NPU
        choices=("auto", "npu", "gpu", "cpu"),
        default="auto",
        help="what to compute on",
    )
    group.add_argument("--device_id", type=_whole, default=0, help="which one")
    group.add_argument("--device_num", type=_count, default=1, help="ranks of the whole job")
    group.add_argument("--dist_url", help="where ranks meet (default: MASTER_ADDR, MASTER_PORT)")
    group.add_argument("--precision_mode", help="see docs/precision.md (default: by device)")
    group.add_argument(
        "--opt_level", choices=("O0", "O1", "O2", "O3"), help="the same by its apex name"
    )
    group.add_argument("--loss_scale", help="a number, dynamic or none")
    group.add_argument(
        "--channels_last", type=boolean, help="memory layout (default: where it is faster)"
    )
    group.add_argument(
        "--compile",
        type=boolean,
        nargs="?",
        const=True,
        default=False,
        help="torch.compile the network (torch 2)",
    )


def _add_run(parser: Parser) -> None:
    group = parser.add_argument_group("run")
    group.add_argument("--output_path", default="output", help="folder for all that is written")
    group.add_argument(
        "--is_train",
        type=boolean,
        nargs="?",
        const=True,
        default=True,
        help="false: only evaluate --pth_path",
    )
    group.add_argument(
        "--resume",
        type=boolean,
        nargs="?",
        const=True,
        default=False,
        help="go on from the newest checkpoint in --output_path",
    )
    group.add_argument("--log_every", type=_count, default=20, help="steps between lines")
    group.add_argument(
        "--evaluate_every", type=_count, default=1, help="epochs between validations"
    )
    group.add_argument(
        "--pictures_every",
        type=_whole,
        default=10,
        help="epochs between pictures of the attention masks, at the end too; 0: no pictures",
    )
    group.add_argument(
        "--checkpoint_minutes",
        type=number_in(float, 0),
        default=10.0,
        help="longest time between checkpoints; 0: every step",
    )
    group.add_argument("--keep_checkpoints", type=_count, default=3, help="how many are kept")
    group.add_argument(
        "--profiling",
        type=profiling,
        nargs="?",
        const=True,
        default=False,
        help="write a profile of the 11th to 13th step",
    )


class _Nothing(argparse.Action):
    """An action for a flag that is checked and leaves no trace in the options."""

    def __call__(self, *_: Any) -> None:
        """Stores nothing."""


def _add_flags_of_tensorflow(parser: Parser) -> None:
    group = parser.add_argument_group("of TensorFlow, only false here")
    for name in OF_TENSORFLOW:
        group.add_argument(
            "--" + name,
            action=_Nothing,
            type=_off,
            nargs="?",
            const="true",
            default=argparse.SUPPRESS,
            help="only false",
        )
    group.add_argument(
        "--data_dump_step",
        action=_Nothing,
        default=argparse.SUPPRESS,
        help="changes nothing where nothing is dumped",
    )


def _off(text: str) -> bool:
    """The type of a flag that this network does not have: false, in any spelling."""
    if boolean(text):
        raise argparse.ArgumentTypeError(
            "only TensorFlow networks have it; leave it out: --dump_tensors K writes the tensors "
            "of a step, --profiling a profile"
        )
    return False


def parser_of(entry_point: str) -> Parser:
    """The parser of an entry point by its module's name, for the launcher."""
    return make_parser(entry_point.rpartition(".")[2])


def parse_options(program: str, argv: Optional[Sequence[str]]) -> Options:
    """Reads a command line.

    Raises:
        UsageError: unknown flag, wrong type, value out of range, flags that contradict.
        ZooError: --data_path is missing.
    """
    return options_from(make_parser(program).parse_args(argv))


def options_from(namespace: argparse.Namespace) -> Options:
    """Options out of parsed arguments, checked as a whole."""
    options = Options(**vars(namespace))
    if options.dataset in NEEDS_FILES and not options.data_path and os.path.isdir(PORTS_DATA):
        options = dataclasses.replace(options, data_path=PORTS_DATA)
    if options.dataset in NEEDS_FILES and not options.data_path:
        raise ZooError(
            f"--data_path is missing: give the folder of {options.dataset}, or --dataset "
            "digits, which "
            "needs none"
        )
    if options.precision_mode and options.opt_level and options.precision_mode != options.opt_level:
        raise UsageError(
            f"--precision_mode {options.precision_mode} and --opt_level "
            f"{options.opt_level} contradict: give one"
        )
    if (options.is_pretrain or not options.is_train) and not options.pth_path:
        raise UsageError("--pth_path is missing: --is_pretrain and --is_train=false need weights")
    if options.profiling and not options.is_train:
        raise UsageError(
            "--profiling traces steps of training, and this run evaluates: leave it out"
        )
    if (options.spatial_dims == 3) != (options.dataset == "synthetic_volumes"):
        raise UsageError("--spatial_dims 3 and --dataset synthetic_volumes belong together")
    if options.loader == "torchvision" and options.spatial_dims == 3:
        raise UsageError("--loader torchvision reads images, not volumes; take --loader device")
    return options
