"""The flags of training, evaluation and explanation, each declared once."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib
from typing import Any, Callable, Dict, Optional, Sequence, Tuple, Type, TypeVar

from common.ascend.flags import NpuFlags
from common.core.command_line import Parser, number_in
from common.core.errors import UsageError
from common.core.flags import (
    LATER,
    Flags,
    Program,
    count,
    flag,
    not_negative,
    path,
    positive,
    unrecorded,
    whole,
)
from common.data import dataset_name
from common.training.flags import (
    DECAYS,
    EXPONENTIAL,
    CheckpointFlags,
    DeviceFlags,
    DumpFlags,
)
from protoattend.data.datasets import DATASET_NAMES, EMBEDDED
from protoattend.data.other_sets import OTHER_SETS
from protoattend.network.architecture import ENCODERS, NORMALIZATIONS, RESNET32, SPARSEMAX

TRAIN, EVALUATE, EXPLAIN = "train", "evaluate", "explain"
LINUX, APULIS, MODELARTS = "linux", "apulis", "modelarts"
PLATFORMS = (LINUX, APULIS, MODELARTS)
DEFAULT_DATA, DEFAULT_OUTPUT = "../dataset", "../output"
DEFAULT_SEED, DEFAULT_CANDIDATES = 1, 1024
# A quirk of the reference: our own choice, the reference's (--parity).
QUIRKS: Dict[str, Tuple[Any, Any]] = {
    "shuffle": (True, False),
    "exclude_queries": (True, False),
    "augment_evaluation_candidates": (False, True),
    "drop_test_tail": (False, True),
    "reference_denominators": (False, True),
    "validation_is_test": (False, True),
    "one_step_less": (False, True),
    "l2_weight": (2e-4, 0.0),
}
_training = functools.partial(flag, only=(TRAIN,))
_unrecorded_training = functools.partial(unrecorded, only=(TRAIN,))


def _quirk(name: str, text: str, **settings: Any) -> Any:
    """A flag whose default, None here, is told by --parity."""
    ours, theirs = (str(value).lower() for value in QUIRKS[name])
    return flag(f"{text} (default: {ours}, with --parity {theirs})", **settings)


def _other_sets(text: str) -> Tuple[str, ...]:
    names = tuple(name for name in text.split(",") if name)
    for name in names:
        if name not in OTHER_SETS:
            raise argparse.ArgumentTypeError(
                f"there is no set {name!r}: use {', '.join(OTHER_SETS)}"
            )
    return names


@dataclasses.dataclass(frozen=True)
class CandidateFlags(Flags):
    """By which candidates an exported network decides."""

    data_path: Optional[str] = flag(
        "the run's data, out of which candidates are taken (default: those kept with the zoo)",
        kind=path,
    )


@dataclasses.dataclass(frozen=True)
class RunOptions(CheckpointFlags, DeviceFlags, DumpFlags):
    """What a run was asked to do; every field but the program is a flag of the same name.

    For both frameworks; Options has what only TensorFlow knows too.
    """

    program: str = TRAIN

    data_url: Optional[str] = unrecorded(
        "folder of the dataset, or its parent",
        DEFAULT_DATA,
        kind=path,
        called="data_path",
        names=("--data_url",),
        group="data",
    )
    dataset: str = flag(
        f"one of {', '.join(DATASET_NAMES)} (default: the checkpoint's, else fashion_mnist)",
        kind=dataset_name,
        choices=DATASET_NAMES,
        metavar="NAME",
    )
    validation_count: Optional[int] = flag(
        "images taken from the training images to validate on (default: 5,000, or a tenth of them)",
        kind=count,
    )
    img_size: Optional[int] = flag("pixels of a side (default: the dataset's own)", kind=count)
    num_classes: Optional[int] = flag("classes (default: the dataset's own)", kind=count)

    encoder: str = flag(
        "the others are for processors", RESNET32, choices=ENCODERS, group="network"
    )
    attention_dim: int = flag("width of keys, queries", 16, kind=count)
    val_dim: int = flag("width of values", 64, kind=count)
    final_units: int = flag("the encoder's last width", 256, kind=count)
    normalization: str = flag(
        "what makes weights of the attention's logits", SPARSEMAX, choices=NORMALIZATIONS
    )
    encoder_checkpoint: Optional[str] = _unrecorded_training(
        "take the encoder's weights from there", kind=path, group="transfer learning"
    )
    freeze_encoder: bool = _training("the encoder is not trained", False)

    batch_size: int = _training("queries per device", 128, kind=count, group="recipe")
    example_cand_size: int = _training(
        "candidates of a step, per device; 0: the queries are one another's", 1024, kind=whole
    )
    num_steps: int = _training("optimizer steps", 100000, kind=count, names=("--train_steps",))
    train_epochs: Optional[int] = _training(
        "passes over the data, in place of --num_steps", kind=count
    )
    init_learning_rate: float = _training("at the start", 0.001, kind=positive)
    scale_learning_rate: bool = _training("times the square root of the number of ranks", True)
    warmup_steps: int = _training(
        "steps in which the rate rises from 0", 0, kind=whole, recorded=LATER
    )
    decay: str = _training(
        "of the rate: by --decay_rate (the reference), or a half cosine to 0 at the end",
        EXPONENTIAL,
        choices=DECAYS,
        recorded=LATER,
    )
    decay_every: int = _training("steps per --decay_rate", 2000, kind=count)
    decay_rate: float = _training(
        "the rate's factor per --decay_every", 0.9, kind=number_in(float, 0, 1, False)
    )
    gradient_thresh: float = _training(
        "largest magnitude of a gradient's element", 20, kind=positive
    )
    epsilon_sparsity: float = _training(
        "keeps the logarithm of a weight of 0 finite", 1e-6, kind=positive
    )
    sparsity_weight: float = _training(
        "of the entropy of the attention in the loss", 1e-4, kind=not_negative
    )
    alpha_intermediate: float = _training(
        "share of the mixed values in the joint classification", 0.5, kind=number_in(float, 0, 1)
    )
    detach_attention: bool = _training(
        "the encoder learns from its own classification alone: keys, queries and mixed values "
        "learn from it as it is",
        False,
        recorded=LATER,
    )
    augment: bool = _training("random crop and flip of training images", True)
    flip: bool = _training("false where mirrored images mean something else, as digits", True)

    parity: bool = flag(
        "all of these as the reference has them", False, group="the reference's ways"
    )
    shuffle: bool = _quirk(
        "shuffle", "batches and candidates are drawn, not taken in the order of the files"
    )
    augment_evaluation_candidates: bool = _quirk(
        "augment_evaluation_candidates", "crop and flip candidates when evaluating too"
    )
    drop_test_tail: bool = _quirk(
        "drop_test_tail", "leave out the test images that don't fill a batch"
    )
    reference_denominators: bool = _quirk(
        "reference_denominators", "confidence of right and of wrong decisions over all images"
    )
    validation_is_test: bool = _quirk("validation_is_test", "validate on the test images")
    exclude_queries: bool = _quirk(
        "exclude_queries", "a query is never its own candidate", only=(TRAIN,)
    )
    one_step_less: bool = _quirk("one_step_less", "train --num_steps minus 1 steps", only=(TRAIN,))
    l2_weight: float = _quirk(
        "l2_weight",
        "penalty on the encoder's kernels, which the reference declares and never adds",
        kind=not_negative,
        only=(TRAIN,),
    )

    random_seed: Optional[int] = flag(
        "of weights, batches and candidates (to evaluate, the checkpoint's)",
        DEFAULT_SEED,
        kind=number_in(int, 0, 2**31 - 1),
        names=("--seed",),
        group="evaluation",
    )
    eval_cand_size: Optional[int] = flag(
        "candidates of an evaluation, out of the training images (to evaluate, those of the "
        "checkpoint's run)",
        DEFAULT_CANDIDATES,
        kind=count,
    )
    attention_scale: float = flag(
        "factor of the attention's logits in an evaluation: below 1 more prototypes decide, and "
        "the confidence is better calibrated; choose it on validation images",
        1.0,
        kind=positive,
        recorded=LATER,
    )
    evaluation_batch_size: int = unrecorded("images the network takes at a time", 128, kind=count)
    out_of_distribution: Tuple[str, ...] = flag(
        f"sets to tell apart by confidence, comma-separated: {', '.join(OTHER_SETS)} "
        "(default: noise,rotated)",
        ("noise", "rotated"),
        kind=_other_sets,
        names=("--other_sets",),
        group="other distributions",
        only=(EVALUATE,),
    )
    other_count: int = flag("images of each such set", 2000, kind=count, only=(EVALUATE,))
    other_data: Optional[str] = flag(
        "folder that holds them (default: --data_path)", kind=path, only=(EVALUATE,)
    )

    train_url: Optional[str] = unrecorded(
        f"folder for all that is written (default: of a training {DEFAULT_OUTPUT}, else beside the "
        "checkpoint)",
        kind=path,
        called="output_path",
        names=("--train_url", "--model_dir"),
        group="run",
    )
    checkpoint: Optional[str] = unrecorded(
        "a run folder, a checkpoint in it, or the reference's",
        kind=path,
        names=("--checkpoint_dir",),
        only=(EVALUATE, EXPLAIN),
    )
    gallery_count: int = unrecorded("decisions shown", 32, kind=count, only=(EVALUATE, EXPLAIN))
    images: Tuple[str, ...] = unrecorded(
        "image files, or folders of them (default: test images)",
        (),
        kind=path,
        nargs="+",
        only=(EXPLAIN,),
    )
    platform: str = _unrecorded_training(
        "modelarts: write to --result, and copy that to --obs_dir at the end",
        LINUX,
        choices=PLATFORMS,
    )
    result: str = _unrecorded_training("see --platform", "/cache/result", kind=path)
    obs_dir: str = _unrecorded_training("see --platform; obs://… or a folder", "")
    display_step: int = _unrecorded_training(
        "steps between lines", 500, kind=count, names=("--log_every",)
    )
    val_step: int = _training(
        "steps between validations; 0: none on the way",
        400,
        kind=whole,
        names=("--evaluate_every",),
    )
    save_step: int = _unrecorded_training(
        "steps between checkpoints; 0: by --checkpoint_minutes alone", 4000, kind=whole
    )
    pictures_every: int = _unrecorded_training("steps between pictures; 0: none", 4000, kind=whole)
    profiling: bool = _unrecorded_training(
        "write a timeline of one step, for chrome://tracing (on an NPU: the device's own profile)",
        False,
    )

    @property
    def seed(self) -> Optional[int]:
        """As other networks call it."""
        return self.random_seed

    @property
    def folder(self) -> str:
        """Where the run writes: on ModelArts the local disk, from which it is copied at the end."""
        return self.result if self.platform == MODELARTS else str(self.train_url)


@dataclasses.dataclass(frozen=True)
class Options(RunOptions, NpuFlags):
    """With the flags that only TensorFlow's NPU sessions know."""


Own = TypeVar("Own", bound=RunOptions)


def program_of(entry_point: str, options: Type[Own]) -> Program[Own]:
    """The program of an entry point by its module's name, of either framework."""
    program = entry_point.rpartition(".")[2]
    defaults: Dict[str, Any] = {"program": program}
    if program == TRAIN:
        defaults.update(train_url=DEFAULT_OUTPUT)
    else:  # those of the checkpoint's run
        defaults.update(eval_cand_size=None, random_seed=None)
    return Program(entry_point, options, (program,), defaults)


def parser_of(entry_point: str) -> Parser:
    """The parser of an entry point by its module's name, for the launcher."""
    return program_of(entry_point, Options).parser()


def parse_options(program: str, argv: Optional[Sequence[str]]) -> Options:
    """Reads the command line of `python -m protoattend.<program>`; see read_options."""
    return read_options(program_of(f"protoattend.{program}", Options), argv)


def read_options(own: Program[Own], argv: Optional[Sequence[str]]) -> Own:
    """Reads a command line.

    Raises:
        UsageError: unknown flag, wrong type, value out of range, flags that contradict.
    """
    (program,) = own.kinds
    given = own.given(argv)
    values = dict(own.defaults, **given)
    for name, (ours, theirs) in QUIRKS.items():
        values.setdefault(name, theirs if given.get("parity") else ours)
    if program == TRAIN:
        values.setdefault("dataset", "fashion_mnist")
    if values.get("dataset") in EMBEDDED:
        values.setdefault("data_url", None)
    values["images"] = tuple(given.get("images", ()))
    options = own.options(**values)
    if program != TRAIN and not options.checkpoint:
        raise UsageError(
            "--checkpoint is missing: give the folder of a training run, or a checkpoint"
        )
    if options.freeze_encoder and not options.encoder_checkpoint:
        raise UsageError(
            "--freeze_encoder needs --encoder_checkpoint: an encoder that is drawn at random and "
            "never trained is of no use"
        )
    if options.platform == MODELARTS and not options.obs_dir:
        raise UsageError(
            "--platform modelarts needs --obs_dir: the folder (obs://…) that results are copied to"
        )
    return options


def main_after_flags(
    program: str, parse: Callable[[str, Any], RunOptions], module: str, function: str
) -> Callable[..., int]:
    """A main that reads its flags before it imports a framework: a wrong one is told at once."""

    def main(argv: Optional[Sequence[str]] = None) -> int:
        options = parse(program, argv)
        code: int = getattr(importlib.import_module(module), function)(options)
        return code

    return main
