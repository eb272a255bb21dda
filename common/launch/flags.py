"""The flags of `zoo launch` and of every launch script, and what they are flags of."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib
import re
import shlex
import sys
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from common.cards.model_card import MAPPED_FLAGS, Case, ModelCard, Task
from common.cards.model_folders import checkout_root, find_card, split_name
from common.core.command_line import TRUTHS, Parser, boolean, number_in
from common.core.errors import UsageError, ZooError
from common.core.flags import Flags, OneValue, add_flags, count, flag, path, whole
from common.machine.devices import REQUESTS

HIGHEST_PORT = 65535
MOST_RANKS = 4096  # a slip of the finger beyond it would plan for minutes
HIGHEST_SEED = 2**32 - 1  # that numpy's generator takes
HANG_SECONDS = 1800.0
_ENTRY = "entry."


@dataclasses.dataclass(frozen=True)
class Target:
    """What is to be launched."""

    card: ModelCard
    task: Task
    case: Case

    @property
    def names(self) -> Tuple[str, str]:
        """Model, with the task where there are several, and case."""
        task = f"/{self.task.name}" if len(self.card.tasks) > 1 else ""
        return self.card.name + task, self.case.name

    @property
    def entry_point(self) -> str:
        """The module that the ranks run."""
        return self.task.entry_points[self.case.action]

    def entry_flag(self, name: str) -> str:
        """What the entry point calls a flag of the launcher's."""
        return self.task.entry_flag(self.case.action, name)


def seeds_of(text: str) -> Tuple[int, ...]:
    """The type of --seeds: different whole numbers with commas between."""
    words = [word.strip() for word in text.split(",")]
    short = all(re.match(r"^\d{1,10}$", word) for word in words)
    numbers = tuple(int(word) for word in words) if short else ()
    if not short or max(numbers) > HIGHEST_SEED:
        raise argparse.ArgumentTypeError(
            f"expected whole numbers from 0 to {HIGHEST_SEED} with commas between, such as 0,1,2, "
            f"not {text[:60]!r}"
        )
    if len(set(numbers)) < len(numbers):
        raise argparse.ArgumentTypeError(f"a seed is given twice in {text!r}")
    return numbers


def _bind_core(text: str) -> str:
    return "auto" if text == "auto" else str(boolean(text)).lower()


@dataclasses.dataclass(frozen=True)
class LaunchFlags(Flags):
    """What the user asked the launcher for; None where the case or the machine decides.

    entry holds the flags of the entry point, by the name it has there; a value of None is a flag
    without one.
    """

    data_path: Optional[str] = flag("the data set's folder", kind=path, names=("--data_url",))
    output_path: Optional[str] = flag(
        "the run folder: checkpoints, record, pictures, results (default: the model's "
        "test/output/$ASCEND_DEVICE_ID); the log stays there either way",
        kind=path,
        names=("--train_url",),
    )
    train_steps: Optional[int] = flag("stop after N optimizer steps", kind=count)
    train_epochs: Optional[int] = flag("train N epochs", kind=count)
    batch_size: Optional[int] = flag("samples per step on each device", kind=count)
    precision_mode: Optional[str] = flag(
        "such as must_keep_origin_dtype, allow_mix_precision, O2 (docs/precision.md lists them)",
        metavar="MODE",
    )
    device: Optional[str] = flag(
        "auto: the accelerator that is there, else the CPU (default: auto)",
        kind=str.lower,
        choices=REQUESTS,
    )
    device_id: Optional[int] = flag(
        "the device of a single rank, the first device of several (default: $ASCEND_DEVICE_ID, "
        "else 0)",
        kind=whole,
    )
    ranks: Optional[int] = flag(
        "how many processes in all, one for each device (default: what the case says, on each "
        "node)",
        kind=number_in(int, 1, MOST_RANKS),
    )
    seed: Optional[int] = flag(
        "the seed of every random choice", kind=number_in(int, 0, HIGHEST_SEED)
    )
    seeds: Optional[Tuple[int, ...]] = flag(
        "run once for each seed, one after another, each in seed_N of the run folder, and tell "
        "each one's metric, the median and how many succeeded",
        kind=seeds_of,
        metavar="N,N,...",
    )
    resume: bool = flag("go on in the run folder from its last checkpoint", False)
    task: Optional[str] = flag("which task of the network, where it has several", metavar="NAME")
    nnodes: int = flag("how many machines take part", 1, kind=number_in(int, 1, MOST_RANKS))
    node_rank: int = flag("which of the machines this is, from 0", 0, kind=whole)
    master_addr: Optional[str] = flag("the address of machine 0", metavar="HOST")
    master_port: Optional[int] = flag(
        "a free port on machine 0 (default on one machine: one is chosen)",
        kind=number_in(int, 1, HIGHEST_PORT),
        metavar="PORT",
    )
    rank_table: Optional[str] = flag(
        "HCCL's rank table (default: $RANK_TABLE_FILE), for TensorFlow on several Ascend devices",
        kind=path,
    )
    bind_core: str = flag(
        "bind each rank to its share of the cores: auto (several ranks and at least a core each), "
        "true, false",
        "auto",
        kind=_bind_core,
        metavar="WHEN",
    )
    hang_timeout: Optional[float] = flag(
        "stop the run when a rank reports nothing for so long, 0 never (default: 1800, with "
        "--autotune 0)",
        kind=number_in(float, 0),
        metavar="SECONDS",
    )
    grace: float = flag(
        "how long ranks may take to save after Ctrl-C or SIGTERM",
        60.0,
        kind=number_in(float, 0),
        metavar="SECONDS",
    )
    dry_run: bool = flag("print the plan and do nothing", False)
    json: bool = flag("print the plan as JSON", False)
    entry: Mapping[str, Optional[str]] = dataclasses.field(default_factory=dict)

    @property
    def hang_seconds(self) -> float:
        """After how long without an event a rank hangs; 0 never, as while operators are tuned."""
        if self.hang_timeout is not None:
            return self.hang_timeout
        tunes = "autotune" in self.entry and TRUTHS.get(
            (self.entry["autotune"] or "true").lower(), True
        )
        return 0.0 if tunes else HANG_SECONDS

    def words(self) -> List[str]:
        """A command line that says the same."""
        given = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "entry" and getattr(self, field.name) != field.default
        }
        told = {name: _as_text(value) for name, value in given.items()}
        return [
            f"--{name}" if text is None else f"--{name}={text}"
            for name, text in {**told, **self.entry}.items()
        ]


def _as_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def find_target(model: str, case: Optional[str], words: Sequence[str] = ()) -> Target:
    """Finds network, task (by the model's name or by --task) and case.

    Raises:
        UsageError: no such network, task or case, two different tasks named.
    """
    name, in_model = split_name(model)
    parser = Parser(prog="zoo launch", add_help=False)
    parser.add_argument("--task")
    in_flag = parser.parse_known_args(list(words))[0].task
    if in_model and in_flag and in_model != in_flag:
        raise UsageError(
            f"the task is {in_model!r} by name and {in_flag!r} by --task; give one of them"
        )
    card = find_card(checkout_root(), name)
    task = card.task(in_model or in_flag or None)
    if case is None:
        raise UsageError(f"which case of {card.name}? There are: {', '.join(task.cases)}")
    if case not in task.cases:
        raise UsageError(f"{card.name} has no case {case!r}; there are: {', '.join(task.cases)}")
    return Target(card, task, task.cases[case])


def entry_parser(target: Target) -> Parser:
    """The parser by which the entry point reads its flags: options.parser_of of the network.

    Importing it imports no framework.
    """
    return _parser_of(str(target.card.folder.parent), target.entry_point)


@functools.lru_cache(maxsize=None)
def _parser_of(folder: str, entry_point: str) -> Parser:
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = entry_point.split(".")[0] + ".options"
    try:
        found: Parser = importlib.import_module(module).parser_of(entry_point)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ZooError(
            f"{module} of {folder} declares no flags ({error}); docs/adding_a_network.md tells how"
        ) from error
    return found


def parse_flags(target: Target, words: Sequence[str]) -> LaunchFlags:
    """Reads the words after MODEL and CASE, by the names of the launcher and of the entry point.

    Raises:
        UsageError: what is a flag of neither, with the nearest that is; a value of the wrong type
            or out of range; two names of one flag with different values.
    """
    parser = launch_parser(target)
    found, unknown = parser.parse_known_args(list(words))
    if unknown:
        parser.error(
            f"{unknown[0].partition('=')[0]} is a flag neither of zoo launch nor of "
            f"{target.entry_point}{parser.nearest(unknown[0])}"
        )
    given = {name: value for name, value in vars(found).items() if not name.startswith("_")}
    own = {name: given.pop(name) for name in list(given) if not name.startswith(_ENTRY)}
    return LaunchFlags(entry={name[len(_ENTRY) :]: value for name, value in given.items()}, **own)


def launch_parser(target: Target) -> Parser:
    """The launcher's flags, also by the entry point's names, and the entry point's own, unread."""
    others = [tuple(action.option_strings) for action in entry_parser(target)._actions]
    own = {"--" + field.name for field in dataclasses.fields(LaunchFlags)}
    names: Dict[str, List[str]] = {}
    for name in MAPPED_FLAGS:
        other = "--" + target.entry_flag(name)
        each = next((each for each in others if other in each), (other,))
        names[name] = [one for one in each if one not in own]
    parser = Parser(
        prog=f"zoo launch {target.card.name} {target.case.name}",
        usage="%(prog)s [--flag=value ...]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=_description(target),
        epilog=(
            f"Any other flag is the entry point's: python -m {target.entry_point} --help\n"
            "--flag=value and --flag value are the same, hyphens and underscores too."
        ),
    )
    add_flags(parser, LaunchFlags, names=names)
    for each in others:
        unknown = [name for name in each if name not in parser._option_string_actions]
        if unknown:
            parser.add_argument(
                *unknown,
                dest=_ENTRY + each[0][2:],
                action=OneValue,
                nargs="?",
                default=argparse.SUPPRESS,
                help=argparse.SUPPRESS,
            )
    return parser


def check_required(target: Target, flags: LaunchFlags) -> None:
    """Raises ZooError for the first required flag that nobody gave."""
    arguments: Dict[str, Any] = dict(target.case.arguments, **flags.entry)
    for name in MAPPED_FLAGS:
        if getattr(flags, name):
            arguments[target.entry_flag(name)] = getattr(flags, name)
    for required in target.task.required_of(target.case):
        excused = required.unless and arguments.get(required.unless.flag) in required.unless.values
        if not arguments.get(required.flag) and not excused:
            raise ZooError(f"--{required.flag} is missing: give {required.what}; --help tells more")


def command_line(names: Sequence[str], words: Sequence[str]) -> str:
    """A command with these flags, for the record."""
    return " ".join(shlex.quote(word) for word in ["zoo", "launch", *names, *words])


# --- help ---


def _description(target: Target) -> str:
    case, task = target.case, target.task
    arguments = " ".join("--{}={}".format(*pair) for pair in case.arguments.items())
    lines = [
        f"{target.card.title} ({target.card.paper})",
        "",
        f"{case.name}: {case.description}",
        f"  ranks {case.ranks}, batch of each device {case.batch_size}"
        + (f", {arguments}" if arguments else ""),
    ]
    for required in task.required_of(case):
        unless = required.unless
        lines.append(
            f"  required: --{required.flag}, {required.what}"
            + (f" (unless --{unless.flag} is {' or '.join(unless.values)})" if unless else "")
        )
    return "\n".join(lines)
