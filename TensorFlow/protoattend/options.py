"""The command lines of training, evaluation and explanation, as one checked data class."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

from common.ascend.flags import NPU_FLAGS, NpuFlags, add_npu_flags, recorded
from common.core.command_line import Parser, add_debug_flag, boolean, number_in
from common.core.errors import UsageError
from common.training.dump_flags import DUMP_FLAGS, add_dump_flags
from common.training.tensorflow.device_flags import add_device_flags
from protoattend.data.datasets import DATASET_NAMES, EMBEDDED
from protoattend.data.other_sets import OTHER_SETS
from protoattend.network.architecture import ENCODERS, NORMALIZATIONS, RESNET32, SPARSEMAX

TRAIN, EVALUATE, EXPLAIN = "train", "evaluate", "explain"
LINUX, APULIS, MODELARTS = "linux", "apulis", "modelarts"
PLATFORMS = (LINUX, APULIS, MODELARTS)
DEFAULT_DATA, DEFAULT_OUTPUT = "../dataset", "../output"
DEFAULT_SEED, DEFAULT_CANDIDATES = 1, 1024
EXPONENTIAL, COSINE = "exponential", "cosine"
OF_THE_MACHINE = (
    (
        "train_url",
        "data_url",
        "obs_dir",
        "result",
        "platform",
        "device",
        "device_id",
        "ranks",
        "resume",
        "display_step",
        "save_step",
        "checkpoint_minutes",
        "keep_checkpoints",
        "profiling",
        "debug",
        "checkpoint",
        "encoder_checkpoint",
        "images",
        "pictures_every",
        "gallery_count",
        "evaluation_batch_size",
    )
    + NPU_FLAGS
    + DUMP_FLAGS
)
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
_EVALUATION_QUIRKS = {
    "shuffle": "batches and candidates are drawn, not taken in the order of the files",
    "augment_evaluation_candidates": "crop and flip candidates when evaluating too",
    "drop_test_tail": "leave out the test images that don't fill a batch",
    "reference_denominators": "confidence of right and of wrong decisions over all images",
    "validation_is_test": "validate on the test images",
}
_TRAINING_QUIRKS = {
    "exclude_queries": "a query is never its own candidate",
    "one_step_less": "train --num_steps minus 1 steps",
}

# Flags that came later, with what runs did before: recorded only where they say something else, so
# that recipes of earlier records and references are still those of the same runs today.
_LATER: Dict[str, Any] = {"warmup_steps": 0, "decay": EXPONENTIAL, "attention_scale": 1.0}


@dataclasses.dataclass(frozen=True)
class Options(NpuFlags):
    """What a run was asked to do; every field is a flag of the same name."""

    program: str
    random_seed: Optional[int]
    num_steps: int
    train_epochs: Optional[int]
    display_step: int
    val_step: int
    save_step: int
    init_learning_rate: float
    scale_learning_rate: bool
    warmup_steps: int
    decay: str
    decay_every: int
    decay_rate: float
    gradient_thresh: float
    batch_size: int
    example_cand_size: int
    eval_cand_size: Optional[int]
    attention_scale: float
    img_size: Optional[int]
    num_classes: Optional[int]
    attention_dim: int
    val_dim: int
    final_units: int
    normalization: str
    encoder: str
    encoder_checkpoint: Optional[str]
    freeze_encoder: bool
    epsilon_sparsity: float
    sparsity_weight: float
    alpha_intermediate: float
    l2_weight: float
    augment: bool
    flip: bool
    shuffle: bool
    exclude_queries: bool
    augment_evaluation_candidates: bool
    drop_test_tail: bool
    reference_denominators: bool
    validation_is_test: bool
    one_step_less: bool
    parity: bool
    dataset: str
    validation_count: Optional[int]
    data_url: Optional[str]
    train_url: Optional[str]
    result: str
    obs_dir: str
    platform: str
    device: str
    device_id: Optional[int]
    ranks: Optional[int]
    precision_mode: Optional[str]
    loss_scale: Optional[str]
    resume: bool
    profiling: bool
    dump_tensors: Optional[int]
    dump_from: Optional[str]
    pictures_every: int
    checkpoint_minutes: float
    keep_checkpoints: int
    evaluation_batch_size: int
    checkpoint: Optional[str]
    out_of_distribution: Tuple[str, ...]
    other_count: int
    other_data: Optional[str]
    gallery_count: int
    images: Tuple[str, ...]
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

    @property
    def folder(self) -> str:
        """Where the run writes: on ModelArts the local disk, from which it is copied at the end."""
        return self.result if self.platform == MODELARTS else self.train_url


class OneValue(argparse.Action):
    """A flag with several names: giving two of them different values is an error."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: Optional[str] = None,
    ) -> None:
        given = namespace.__dict__.setdefault("_given", {})
        name, value = given.get(self.dest, (option_string, values))
        if value != values:
            raise UsageError(
                f"{name} {value} and {option_string} {values} contradict each other: "
                "give one of them"
            )
        given[self.dest] = (option_string, values)
        setattr(namespace, self.dest, values)


_count = number_in(int, 1)
_whole = number_in(int, 0)
_positive = number_in(float, 0, low_is_legal=False)
_not_negative = number_in(float, 0)
_share = number_in(float, 0, 1)


def make_parser(program: str) -> Parser:
    """The parser of `python -m protoattend.<program>`: flags that change nothing are not known."""
    parser = Parser(prog="protoattend." + program)
    training, evaluating = program == TRAIN, program == EVALUATE
    _add_data(parser)
    _add_network(parser)
    add_device_flags(parser.add_argument_group("device"), "--chip", OneValue)
    add_npu_flags(parser, training)
    _add_output(parser, program)
    _add_where(training, parser, _add_encoder_source)
    _add_where(training, parser, _add_recipe)
    _add_where(training, parser, _add_training)
    _add_reference(parser, training)
    _add_candidates(parser)
    _add_where(evaluating, parser, _add_other_sets)
    _add_where(not training, parser, _add_checkpoint)
    _add_where(program == EXPLAIN, parser, _add_images)
    add_debug_flag(parser)
    if not training:
        parser.set_defaults(eval_cand_size=None, random_seed=None)  # those of the checkpoint's run
    return parser


def _add_where(wanted: bool, parser: Parser, add: Callable[[Parser], None]) -> None:
    """Adds flags, or only their defaults."""
    target = parser if wanted else Parser(add_help=False)
    add(target)
    if not wanted:
        parser.set_defaults(**vars(target.parse_args([])))


def _flag(group: Any, name: str, **settings: Any) -> None:
    group.add_argument("--" + name, type=boolean, nargs="?", const=True, **settings)


def _add_data(parser: Parser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data_path",
        "--data_url",
        dest="data_url",
        action=OneValue,
        default=DEFAULT_DATA,
        help="folder of the dataset, or its parent",
    )
    group.add_argument(
        "--dataset",
        choices=DATASET_NAMES,
        metavar="NAME",
        help="one of {} (default: the checkpoint's, else fashion_mnist)".format(
            ", ".join(DATASET_NAMES)
        ),
    )
    group.add_argument(
        "--validation_count",
        type=_count,
        help="images taken from the training images to validate on (default: "
        "5,000, or a tenth of them)",
    )
    group.add_argument(
        "--img_size", type=_count, help="pixels of a side (default: the dataset's own)"
    )
    group.add_argument("--num_classes", type=_count, help="classes (default: the dataset's own)")


def _add_network(parser: Parser) -> None:
    group = parser.add_argument_group("network")
    group.add_argument(
        "--encoder", choices=ENCODERS, default=RESNET32, help="the others are for processors"
    )
    group.add_argument("--attention_dim", type=_count, default=16, help="width of keys, queries")
    group.add_argument("--val_dim", type=_count, default=64, help="width of values")
    group.add_argument("--final_units", type=_count, default=256, help="the encoder's last width")
    group.add_argument(
        "--normalization",
        choices=NORMALIZATIONS,
        default=SPARSEMAX,
        help="what makes weights of the attention's logits",
    )


def _add_encoder_source(parser: Parser) -> None:
    group = parser.add_argument_group("transfer learning")
    group.add_argument("--encoder_checkpoint", help="take the encoder's weights from there")
    _flag(group, "freeze_encoder", default=False, help="the encoder is not trained")


def _add_recipe(parser: Parser) -> None:
    group = parser.add_argument_group("recipe")
    group.add_argument("--batch_size", type=_count, default=128, help="queries per device")
    group.add_argument(
        "--example_cand_size",
        type=_whole,
        default=1024,
        help="candidates of a training step, per device; 0: the queries are one another's",
    )
    group.add_argument("--num_steps", type=_count, default=100000, help="optimizer steps")
    group.add_argument(
        "--train_epochs", type=_count, help="passes over the data, in place of --num_steps"
    )
    group.add_argument("--init_learning_rate", type=_positive, default=0.001, help="at the start")
    _flag(
        group,
        "scale_learning_rate",
        default=True,
        help="times the square root of the number of ranks",
    )
    group.add_argument(
        "--warmup_steps", type=_whole, default=0, help="steps in which the rate rises from 0"
    )
    group.add_argument(
        "--decay",
        choices=(EXPONENTIAL, COSINE),
        default=EXPONENTIAL,
        help="of the rate: by --decay_rate (the reference), or a half cosine to 0 at the end",
    )
    group.add_argument("--decay_every", type=_count, default=2000, help="steps per --decay_rate")
    group.add_argument(
        "--decay_rate",
        type=number_in(float, 0, 1, low_is_legal=False),
        default=0.9,
        help="the rate's factor per --decay_every",
    )
    group.add_argument(
        "--gradient_thresh",
        type=_positive,
        default=20,
        help="largest magnitude of a gradient's element",
    )
    group.add_argument(
        "--epsilon_sparsity",
        type=_positive,
        default=1e-6,
        help="keeps the logarithm of a weight of 0 finite",
    )
    group.add_argument(
        "--sparsity_weight",
        type=_not_negative,
        default=1e-4,
        help="of the entropy of the attention in the loss",
    )
    group.add_argument(
        "--alpha_intermediate",
        type=_share,
        default=0.5,
        help="share of the prototypes' mixed values in the joint classification",
    )
    _flag(group, "augment", default=True, help="random crop and flip of training images")
    _flag(
        group,
        "flip",
        default=True,
        help="false where mirrored images mean something else, such as digits",
    )


def _add_reference(parser: Parser, training: bool) -> None:
    group = parser.add_argument_group("the reference's ways")
    _flag(group, "parity", default=False, help="all of these as the reference has them")
    _add_quirks(group, _EVALUATION_QUIRKS)
    hidden = group if training else Parser(add_help=False)
    _add_quirks(hidden, _TRAINING_QUIRKS)
    hidden.add_argument(
        "--l2_weight",
        type=_not_negative,
        help="penalty on the encoder's kernels, which the reference declares and "
        "never adds (default: {}, with --parity {})".format(*QUIRKS["l2_weight"]),
    )
    if not training:
        parser.set_defaults(l2_weight=None, **dict.fromkeys(_TRAINING_QUIRKS))


def _add_quirks(group: Any, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        ours, theirs = QUIRKS[name]
        _flag(
            group,
            name,
            help=f"{text} (default: {str(ours).lower()}, with --parity {str(theirs).lower()})",
        )


def _add_output(parser: Parser, program: str) -> None:
    parser.add_argument(
        "--train_url",
        "--output_path",
        dest="train_url",
        action=OneValue,
        default=DEFAULT_OUTPUT if program == TRAIN else None,
        help="folder for all that is written (default: {})".format(
            DEFAULT_OUTPUT if program == TRAIN else "beside the checkpoint"
        ),
    )


def _add_training(parser: Parser) -> None:
    group = parser.add_argument_group("run")
    group.add_argument(
        "--platform",
        choices=PLATFORMS,
        default=LINUX,
        help="modelarts: write to --result, and copy that to --obs_dir at the end",
    )
    group.add_argument("--result", default="/cache/result", help="see --platform")
    group.add_argument("--obs_dir", default="", help="see --platform; obs://… or a folder")
    _flag(group, "resume", default=False, help="go on from the newest checkpoint")
    group.add_argument("--display_step", type=_count, default=500, help="steps between lines")
    group.add_argument(
        "--val_step", type=_whole, default=400, help="steps between validations; 0: none on the way"
    )
    group.add_argument(
        "--save_step",
        type=_whole,
        default=4000,
        help="steps between checkpoints; 0: by --checkpoint_minutes alone",
    )
    group.add_argument(
        "--pictures_every", type=_whole, default=4000, help="steps between pictures; 0: none"
    )
    group.add_argument(
        "--checkpoint_minutes",
        type=_not_negative,
        default=10.0,
        help="longest time between checkpoints; 0: every step",
    )
    group.add_argument("--keep_checkpoints", type=_count, default=3, help="how many are kept")
    add_dump_flags(group)
    _flag(
        group,
        "profiling",
        default=False,
        help="write a timeline of one step, for chrome://tracing (on an NPU: the device's own "
        "profile)",
    )


def _add_candidates(parser: Parser) -> None:
    group = parser.add_argument_group("evaluation")
    group.add_argument(
        "--random_seed",
        "--seed",
        dest="random_seed",
        action=OneValue,
        type=number_in(int, 0, 2**31 - 1),
        default=DEFAULT_SEED,
        help="of weights, batches and candidates (to evaluate, the checkpoint's)",
    )
    group.add_argument(
        "--eval_cand_size",
        type=_count,
        default=DEFAULT_CANDIDATES,
        help="candidates of an evaluation, out of the training images (to "
        "evaluate, those of the checkpoint's run)",
    )
    group.add_argument(
        "--attention_scale",
        type=_positive,
        default=1.0,
        help="factor of the attention's logits in an evaluation: below 1 more prototypes decide, "
        "and the confidence is better calibrated; choose it on validation images",
    )
    group.add_argument(
        "--evaluation_batch_size",
        type=_count,
        default=128,
        help="images the network takes at a time",
    )


def _add_other_sets(parser: Parser) -> None:
    group = parser.add_argument_group("other distributions")
    group.add_argument(
        "--out_of_distribution",
        "--other_sets",
        dest="out_of_distribution",
        type=_other_sets,
        default=("noise", "rotated"),
        help="sets to tell apart by confidence, comma-separated: " + ", ".join(OTHER_SETS),
    )
    group.add_argument("--other_count", type=_count, default=2000, help="images of each such set")
    group.add_argument("--other_data", help="folder that holds them (default: --data_path)")


def _add_checkpoint(parser: Parser) -> None:
    parser.add_argument(
        "--checkpoint",
        "--checkpoint_dir",
        dest="checkpoint",
        help="a run folder, a checkpoint in it, or the reference's",
    )
    parser.add_argument("--gallery_count", type=_count, default=32, help="decisions shown")


def _add_images(parser: Parser) -> None:
    parser.add_argument(
        "--images",
        nargs="+",
        default=(),
        help="image files, or folders of them (default: test images)",
    )


def _other_sets(text: str) -> Tuple[str, ...]:
    names = tuple(name for name in text.split(",") if name)
    for name in names:
        if name not in OTHER_SETS:
            raise argparse.ArgumentTypeError(
                "there is no set {!r}: use {}".format(name, ", ".join(OTHER_SETS))
            )
    return names


def parser_of(entry_point: str) -> Parser:
    """The parser of an entry point by its module's name, for the launcher."""
    return make_parser(entry_point.rpartition(".")[2])


def parse_options(program: str, argv: Optional[Sequence[str]]) -> Options:
    """Reads a command line.

    Raises:
        UsageError: unknown flag, wrong type, value out of range, flags that contradict.
    """
    namespace = make_parser(program).parse_args(argv)
    given = namespace.__dict__.pop("_given", {})
    for name, (ours, theirs) in QUIRKS.items():
        if getattr(namespace, name) is None:
            setattr(namespace, name, theirs if namespace.parity else ours)
    if namespace.dataset is None and program == TRAIN:
        namespace.dataset = "fashion_mnist"
    if namespace.dataset in EMBEDDED and "data_url" not in given:
        namespace.data_url = None
    namespace.images = tuple(namespace.images)
    return _checked(Options(program=program, **vars(namespace)))


def _checked(options: Options) -> Options:
    if options.program != TRAIN and not options.checkpoint:
        raise UsageError(
            "--checkpoint is missing: give the folder of a training run, or a checkpoint"
        )
    if options.freeze_encoder and not options.encoder_checkpoint:
        raise UsageError(
            "--freeze_encoder needs --encoder_checkpoint: an encoder that is drawn "
            "at random and never trained is of no use"
        )
    if options.platform == MODELARTS and not options.obs_dir:
        raise UsageError(
            "--platform modelarts needs --obs_dir: the folder (obs://…) that results are copied to"
        )
    return options
