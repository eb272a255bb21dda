"""The flags of `zoo launch` and of every launch script: reading them and telling of them."""

from __future__ import annotations

import argparse
import dataclasses
import re
import textwrap
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from common.cards.model_card import MAPPED_FLAGS, ModelCard, Task
from common.core.command_line import TRUTHS, boolean, number_in
from common.core.errors import UsageError

DEVICE_CHOICES = ("auto", "npu", "gpu", "cpu")
BIND_CHOICES = ("auto", "true", "false")
HIGHEST_PORT = 65535
MOST_RANKS = 4096  # a slip of the finger beyond it would plan for minutes
HIGHEST_SEED = 2**32 - 1  # that numpy's generator takes


@dataclasses.dataclass(frozen=True)
class LaunchFlags:
    """What the user asked the launcher for; None where the case or the machine decides.

    entry holds the flags that the launcher does not know, for the entry point; a value of None is
    a flag without one.
    """

    data_path: Optional[str] = None
    output_path: Optional[str] = None
    train_steps: Optional[int] = None
    train_epochs: Optional[int] = None
    batch_size: Optional[int] = None
    precision_mode: Optional[str] = None
    device: Optional[str] = None
    device_id: Optional[int] = None
    ranks: Optional[int] = None
    seed: Optional[int] = None
    seeds: Optional[Tuple[int, ...]] = None
    resume: bool = False
    task: Optional[str] = None
    nnodes: int = 1
    node_rank: int = 0
    master_addr: Optional[str] = None
    master_port: Optional[int] = None
    rank_table: Optional[str] = None
    bind_core: str = "auto"
    hang_timeout: Optional[float] = None
    grace: float = 60.0
    dry_run: bool = False
    json: bool = False
    debug: bool = False
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


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag: its name, how its value is read, what stands for the value in help, and help."""

    name: str
    read: Callable[[str], Any]
    metavar: str
    help: str


def _one_of(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        text = text.lower()
        if text not in allowed:
            raise argparse.ArgumentTypeError(
                "expected one of {}, not {!r}".format(", ".join(allowed), text)
            )
        return text

    return read


def _seeds(text: str) -> Tuple[int, ...]:
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


def _text(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("expected a value, not an empty text")
    return text


FLAGS: Tuple[Flag, ...] = (
    Flag("data_path", _text, "DIR", "the data set's folder"),
    Flag(
        "output_path",
        _text,
        "DIR",
        "the run folder: checkpoints, record, pictures, results "
        "(default: the model's test/output/$ASCEND_DEVICE_ID); the log stays there either way",
    ),
    Flag("train_steps", number_in(int, 1), "N", "stop after N optimizer steps"),
    Flag("train_epochs", number_in(int, 1), "N", "train N epochs"),
    Flag("batch_size", number_in(int, 1), "N", "samples per step on each device"),
    Flag(
        "precision_mode",
        _text,
        "MODE",
        "such as must_keep_origin_dtype, allow_mix_precision, O2 (docs/precision.md lists them)",
    ),
    Flag(
        "device",
        _one_of(*DEVICE_CHOICES),
        "KIND",
        "npu, gpu, cpu, or auto: the accelerator that is there, else the CPU (default auto)",
    ),
    Flag(
        "device_id",
        number_in(int, 0),
        "N",
        "the device of a single rank, the first device of "
        "several (default $ASCEND_DEVICE_ID, else 0)",
    ),
    Flag(
        "ranks",
        number_in(int, 1, MOST_RANKS),
        "N",
        "how many processes in all, one for each device "
        "(default: what the case says, on each node)",
    ),
    Flag("seed", number_in(int, 0, HIGHEST_SEED), "N", "the seed of every random choice"),
    Flag(
        "seeds",
        _seeds,
        "N,N,...",
        "run once for each seed, one after another, each in seed_N of the run folder, and tell "
        "each one's metric, the median and how many succeeded",
    ),
    Flag("resume", boolean, "", "go on in the run folder from its last checkpoint"),
    Flag("task", _text, "NAME", "which task of the network, where it has several"),
    Flag("nnodes", number_in(int, 1, MOST_RANKS), "N", "how many machines take part (default 1)"),
    Flag("node_rank", number_in(int, 0), "N", "which of the machines this is, from 0"),
    Flag("master_addr", _text, "HOST", "the address of machine 0"),
    Flag(
        "master_port",
        number_in(int, 1, HIGHEST_PORT),
        "PORT",
        "a free port on machine 0 (default on one machine: one is chosen)",
    ),
    Flag(
        "rank_table",
        _text,
        "FILE",
        "HCCL's rank table (default $RANK_TABLE_FILE), for TensorFlow on several Ascend devices",
    ),
    Flag(
        "bind_core",
        _bind_core,
        "WHEN",
        "bind each rank to its share of the cores: auto (several "
        "ranks and at least a core each), true, false (default auto)",
    ),
    Flag(
        "hang_timeout",
        number_in(float, 0),
        "SECONDS",
        "stop the run when a rank reports nothing for so long, 0 never (default 1800, with "
        "--autotune 0)",
    ),
    Flag(
        "grace",
        number_in(float, 0),
        "SECONDS",
        "how long ranks may take to save after Ctrl-C or SIGTERM (default 60)",
    ),
    Flag("dry_run", boolean, "", "print the plan (processes, environment, paths) and do nothing"),
    Flag("json", boolean, "", "with --dry_run: print the plan as JSON"),
    Flag("debug", boolean, "", "show the traceback of an error"),
)

_BY_NAME = {flag.name: flag for flag in FLAGS}
HANG_SECONDS = 1800.0
_NUMBER = re.compile(r"^-\d*\.?\d+([eE][-+]?\d+)?$")
_TRUTH = re.compile(r"^(true|false|yes|no|0|1)$", re.IGNORECASE)
_FLAG = re.compile(r"^--([A-Za-z][\w-]*)(?:=(.*))?$", re.DOTALL)


def asks_for_help(words: Sequence[str]) -> bool:
    """Whether -h or --help is among the words."""
    return "-h" in words or "--help" in words


def parse_flags(words: Sequence[str]) -> LaunchFlags:
    """Reads the words after MODEL and CASE; `--flag=value` and `--flag value` are the same.

    Hyphens in names are underscores. Flags that the launcher doesn't know are kept for the entry
    point. A flag given twice has its last value.

    Raises:
        UsageError: a word that is no flag, a value of the wrong type or out of range.
    """
    known: Dict[str, Any] = {}
    entry: Dict[str, Optional[str]] = {}
    for name, text in _pairs(words):
        if name in _BY_NAME:
            known[name] = _read(_BY_NAME[name], text)
        else:
            entry[name] = text
    return LaunchFlags(entry=entry, **known)


def words_without(words: Sequence[str], names: Sequence[str]) -> List[str]:
    """The flags among the words as `--name=value`, without those of some names."""
    return [
        "--" + name if text is None else f"--{name}={text}"
        for name, text in _pairs(words)
        if name not in names
    ]


def _pairs(words: Sequence[str]) -> List[Tuple[str, Optional[str]]]:
    pairs, position = [], 0
    while position < len(words):
        match = _FLAG.match(words[position])
        if match is None:
            raise UsageError(
                f"{words[position]!r} is not a flag; flags are --name=value or --name "
                "value (see --help)"
            )
        name, text = match.group(1).replace("-", "_"), match.group(2)
        position += 1
        if text is None and position < len(words) and _is_value(name, words[position]):
            text = words[position]
            position += 1
        pairs.append((name, text))
    return pairs


def _is_value(name: str, word: str) -> bool:
    """Whether a word after `--name` belongs to it."""
    if name in _BY_NAME and _BY_NAME[name].read is boolean:
        return bool(_TRUTH.match(word))
    return not word.startswith("-") or bool(_NUMBER.match(word))


def _read(flag: Flag, text: Optional[str]) -> Any:
    if text is None and flag.read is boolean:
        return True
    if text is None:
        raise UsageError(f"--{flag.name} needs a value: --{flag.name}={flag.metavar}")
    try:
        return flag.read(text)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"--{flag.name}: {error}") from error


def with_entry_names(flags: LaunchFlags, task: Task, action: str) -> LaunchFlags:
    """Takes flags that were given under the entry point's own names as the launcher's.

    Raises:
        UsageError: both names were given with different values.
    """
    entry, changes = dict(flags.entry), {}  # type: Dict[str, Optional[str]], Dict[str, Any]
    for name in MAPPED_FLAGS:
        other = task.entry_flag(action, name)
        if other == name or other not in entry:
            continue
        value = _read_as(_BY_NAME[name], other, entry.pop(other))
        given = getattr(flags, name)
        if given not in (None, False, value):
            raise UsageError(
                f"--{name}={given} and --{other}={value} are the same flag with "
                "different values; give "
                "one of them"
            )
        changes[name] = value
    return dataclasses.replace(flags, entry=entry, **changes)


def _read_as(flag: Flag, name: str, text: Optional[str]) -> Any:
    return _read(dataclasses.replace(flag, name=name), text)


def help_text(program: str, card: ModelCard, task: Task, case_name: Optional[str]) -> str:
    """What --help prints: the case, what must be given, every flag."""
    lines = [f"usage: {program} [--flag=value ...]", ""]
    lines += [f"{card.title} ({card.paper})"]
    lines += _case_lines(task, case_name)
    lines += ["", "flags (--flag=value and --flag value are the same):"]
    for flag in FLAGS:
        lines += _flag_lines(_head(flag), _help_of(flag, task, case_name))
    lines += _flag_lines("-h, --help", "print this and do nothing")
    lines += _entry_lines(task, case_name)
    return "\n".join(lines)


def _case_lines(task: Task, case_name: Optional[str]) -> List[str]:
    if case_name is None:
        return ["", "cases:"] + [
            f"  {case.name:<16} {case.description}" for case in task.cases.values()
        ]
    case = task.cases[case_name]
    arguments = " ".join("--{}={}".format(*pair) for pair in case.arguments.items())
    return [
        "",
        f"{case.name}: {case.description}",
        "  ranks {}, batch of each device {}{}".format(
            case.ranks, case.batch_size, ", " + arguments if arguments else ""
        ),
    ]


def _head(flag: Flag) -> str:
    return f"--{flag.name}" + (f"={flag.metavar}" if flag.metavar else "")


def _help_of(flag: Flag, task: Task, case_name: Optional[str]) -> str:
    text = flag.help
    case = task.cases.get(case_name or "")
    for required in task.required_of(case) if case else ():
        if required.flag == flag.name:
            text = required.what + " (required{})".format(
                " unless --{} is {}".format(
                    required.unless.flag, " or ".join(required.unless.values)
                )
                if required.unless
                else ""
            )
    return text


def _flag_lines(head: str, text: str) -> List[str]:
    wrapped = textwrap.wrap(text, 68)
    first = f"  {head:<24} {wrapped[0]}"
    return [first] + [" " * 27 + line for line in wrapped[1:]]


def _entry_lines(task: Task, case_name: Optional[str]) -> List[str]:
    actions = [task.cases[case_name].action] if case_name else list(task.entry_points)
    lines = ["", "Any other flag goes to the entry point, which knows its own:"]
    lines += [f"  python -m {task.entry_points[action]} --help" for action in actions]
    names = [
        f"--{name} is --{task.entry_flag(actions[0], name)}"
        for name in MAPPED_FLAGS
        if task.entry_flag(actions[0], name) != name
    ]
    return lines + (["There " + ", ".join(names) + "; either name can be given."] if names else [])
