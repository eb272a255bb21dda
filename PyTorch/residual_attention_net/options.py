"""The flags of training, evaluation and fine-tuning, each declared once."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, Dict, Optional, Sequence

from common.core.command_line import Parser, number_in
from common.core.errors import UsageError, ZooError
from common.core.flags import Program, count, flag, not_negative, path, positive, unrecorded, whole
from common.data import IMAGE_FOLDER, dataset_name
from common.machine.devices import REQUESTS
from common.training.flags import CheckpointFlags, DumpFlags, OffFlags, profiling
from residual_attention_net.network.networks import DEFAULT_NETWORK, NETWORKS
from residual_attention_net.recipes import RECIPES

DATASETS = ("cifar10", "digits", "synthetic", "synthetic_volumes", IMAGE_FOLDER)
NEEDS_FILES = ("cifar10", IMAGE_FOLDER)
PORTS_DATA = "data"  # where the 3d_attention_net port reads, with no flag for it


@dataclasses.dataclass(frozen=True)
class Options(DumpFlags, CheckpointFlags, OffFlags):
    """What a run was asked to do; every field is a flag of the same name."""

    data_path: Optional[str] = unrecorded(
        "folder of the dataset, or its parent", kind=path, names=("--data_url",), group="data"
    )
    dataset: str = flag("what to learn", "cifar10", kind=dataset_name, choices=DATASETS)
    validation_count: Optional[int] = flag(
        "training images kept for choosing; 0: none (default: a tenth)", kind=whole
    )
    limit_train: Optional[int] = flag("train on this many images only", kind=count)
    limit_test: Optional[int] = flag("test on this many images only", kind=count)
    loader: str = flag(
        "batched augmentation on the device, or the reference's DataLoader",
        "device",
        choices=("device", "torchvision"),
    )
    workers: int = unrecorded("worker processes of --loader torchvision", 2, kind=whole)

    network: Optional[str] = flag(
        f"one of {', '.join(NETWORKS)} (default: that of the weights, else {DEFAULT_NETWORK})",
        choices=list(NETWORKS),
        metavar="NAME",
        group="network",
    )
    spatial_dims: int = flag("2 for images, 3 for volumes", 2, choices=(2, 3))
    num_classes: Optional[int] = flag(
        "outputs of the network (default: the classes of the dataset)", kind=count
    )
    is_pretrain: bool = flag("start from the weights of --pth_path", False)
    pth_path: Optional[str] = unrecorded(
        "weights: a checkpoint, or a state_dict as published", kind=path, names=("--checkpoint",)
    )

    recipe: str = flag("how to train", "reference", choices=sorted(RECIPES), group="recipe")
    total_epochs: int = flag("passes over the data", 300, kind=count, names=("--train_epochs",))
    train_steps: Optional[int] = flag(
        "optimizer steps in all, in place of --total_epochs", kind=count
    )
    train_batch_size: int = flag("per device", 64, kind=count)
    test_batch_size: int = flag("per device", 128, kind=count)
    learning_rate: Optional[float] = flag(
        "peak, before scaling (default: the recipe's)", kind=positive
    )
    scale_learning_rate: bool = flag("raise it with the global batch, with warm-up", True)
    clip_gradient_norm: float = flag(
        "largest norm of the gradient; 0: no clipping", 0.0, kind=not_negative
    )
    sync_batch_norm: bool = flag("batch norm over the batches of all ranks", False)
    seed: int = flag("of weights, order and augmentation", 0, kind=number_in(int, 0, 2**31 - 1))

    device_type: str = unrecorded(
        "what to compute on",
        "auto",
        kind=str.lower,  # the port's scripts say NPU
        choices=REQUESTS,
        names=("--device",),
        group="device",
    )
    device_id: int = unrecorded("which one", 0, kind=whole)
    device_num: int = unrecorded("ranks of the whole job", 1, kind=count, names=("--ranks",))
    dist_url: Optional[str] = unrecorded("where ranks meet (default: MASTER_ADDR, MASTER_PORT)")
    precision_mode: Optional[str] = flag("see docs/precision.md (default: by device)")
    opt_level: Optional[str] = flag("the same by its apex name", choices=("O0", "O1", "O2", "O3"))
    loss_scale: Optional[str] = flag("a number, dynamic or none")
    channels_last: Optional[bool] = flag("memory layout (default: where it is faster)")
    compile: bool = flag("torch.compile the network (torch 2)", False)

    output_path: str = unrecorded(
        "folder for all that is written",
        "output",
        kind=path,
        names=("--train_url",),
        group="run",
    )
    is_train: bool = flag("false: only evaluate --pth_path", True)
    log_every: int = unrecorded("steps between lines", 20, kind=count)
    evaluate_every: int = flag("epochs between validations", 1, kind=count)
    pictures_every: int = unrecorded(
        "epochs between pictures of the attention masks, at the end too; 0: no pictures",
        10,
        kind=whole,
    )
    profiling: bool = unrecorded("write a profile of the 11th to 13th step", False, kind=profiling)


PROGRAMS = {
    "train": Program("residual_attention_net.train", Options, ("train",)),
    "evaluate": Program(
        "residual_attention_net.evaluate", Options, ("evaluate",), {"is_train": False}
    ),
    "finetune": Program(
        "residual_attention_net.finetune",
        Options,
        ("finetune",),
        {"is_pretrain": True, "total_epochs": 30},
    ),
}


def parser_of(entry_point: str) -> Parser:
    """The parser of an entry point by its module's name, for the launcher."""
    return PROGRAMS[entry_point.rpartition(".")[2]].parser()


def parse_options(program: str, argv: Optional[Sequence[str]]) -> Options:
    """Reads a command line.

    Raises:
        UsageError: unknown flag, wrong type, value out of range, flags that contradict.
        ZooError: --data_path is missing.
    """
    options = PROGRAMS[program].read(argv)
    if options.dataset in NEEDS_FILES and not options.data_path and os.path.isdir(PORTS_DATA):
        options = dataclasses.replace(options, data_path=PORTS_DATA)
    if options.dataset in NEEDS_FILES and not options.data_path:
        raise ZooError(
            f"--data_path is missing: give the folder of {options.dataset}, or --dataset digits, "
            "which needs none"
        )
    if options.precision_mode and options.opt_level and options.precision_mode != options.opt_level:
        raise UsageError(
            f"--precision_mode {options.precision_mode} and --opt_level {options.opt_level} "
            "contradict: give one"
        )
    if (options.is_pretrain or not options.is_train) and not options.pth_path:
        raise UsageError("--pth_path is missing: --is_pretrain and --is_train=false need weights")
    if options.compile and (options.dump_tensors or options.dump_from):
        raise UsageError(
            "--compile leaves no layers for --dump_tensors to look at: leave --compile out"
        )
    if options.profiling and not options.is_train:
        raise UsageError(
            "--profiling traces steps of training, and this run evaluates: leave it out"
        )
    if (options.spatial_dims == 3) != (options.dataset == "synthetic_volumes"):
        raise UsageError("--spatial_dims 3 and --dataset synthetic_volumes belong together")
    if options.loader == "torchvision" and options.spatial_dims == 3:
        raise UsageError("--loader torchvision reads images, not volumes; take --loader device")
    return options


def with_network(options: Options) -> Options:
    """The options with network and classes said: by flag, else by the checkpoint they start from.

    A checkpoint of this program's training knows its network; other weights are taken for the
    default one.
    """
    known: Dict[str, Any] = {}
    if options.pth_path is not None:
        from residual_attention_net.network.weights import network_told_by, read_weights

        known = network_told_by(read_weights(options.pth_path))
    classes = options.num_classes
    if classes is None and not options.is_train:
        classes = known.get("num_classes")
    network = options.network or known.get("network") or DEFAULT_NETWORK
    return dataclasses.replace(options, network=network, num_classes=classes)
