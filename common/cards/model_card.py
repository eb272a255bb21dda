"""The model card: what a network's model.yaml says of its tasks, cases, flags, tiers, figures."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, Optional, Tuple

import attrs

from common.cards.log_format import LogFormat
from common.core.codec import (
    OUTSIDE,
    ContentError,
    Scalar,
    at_least,
    between,
    filled,
    key,
    keys_of,
    one_of,
    read_yaml,
)
from common.core.errors import UsageError
from common.core.text import listed, quoted

SCHEMA_VERSION = 1
FILE_NAME = "model.yaml"
FRAMEWORKS = ("pytorch", "tensorflow")
ACTIONS = ("train", "evaluate", "finetune")
KINDS = ("acc", "perf", "eval")
DEVICES = ("npu", "gpu", "cpu")

# The launcher's flags that an entry point may know under another name.
MAPPED_FLAGS = (
    "data_path",
    "output_path",
    "train_steps",
    "train_epochs",
    "batch_size",
    "precision_mode",
    "device",
    "device_id",
    "ranks",
    "seed",
    "resume",
)

SMOKE, NIGHTLY, RELEASE = "smoke", "nightly", "release"
TIERS = (SMOKE, NIGHTLY, RELEASE)
WHAT_TIERS_ARE = {
    SMOKE: "embedded or generated data on the CPU, minutes",
    NIGHTLY: "short runs on one device, real data where --data_path has it",
    RELEASE: "whole trainings of several seeds on eight devices",
}
DATA_WAIT_MARGIN = 0.05


@attrs.frozen
class Unless:
    """The flag that excuses another one, with the values that do so."""

    flag: str
    values: Tuple[str, ...] = ()


@attrs.frozen
class RequiredFlag:
    """A flag of the entry point that must be given, unless another has one of some values."""

    flag: str
    what: str
    unless: Optional[Unless] = None


@attrs.frozen
class Override:
    """What a case does otherwise on one device kind; batch_size None keeps the case's own."""

    batch_size: Optional[int] = attrs.field(default=None, validator=at_least(1))
    arguments: Dict[str, Scalar] = attrs.field(factory=dict)


@attrs.frozen
class Case:
    """A run with a name. arguments are flags of the entry point, batch_size is per device."""

    description: str
    action: str = attrs.field(validator=one_of(*ACTIONS))
    kind: str = attrs.field(validator=one_of(*KINDS))
    ranks: int = attrs.field(validator=at_least(1))
    batch_size: int = attrs.field(validator=at_least(1))
    arguments: Dict[str, Scalar] = attrs.field(factory=dict)
    overrides: Dict[str, Override] = attrs.field(
        factory=dict, validator=keys_of(*DEVICES), metadata=key("on_device")
    )
    required: Tuple[RequiredFlag, ...] = ()
    weights_from_last_run: bool = False
    name: str = attrs.field(default="", metadata=OUTSIDE)

    @property
    def promises_accuracy(self) -> bool:
        """Whether a run without an accuracy has failed."""
        return self.kind in ("acc", "eval")

    @property
    def promises_speed(self) -> bool:
        """Whether a run without a throughput has failed."""
        return self.kind in ("acc", "perf")


@attrs.frozen
class Metric:
    """The figure a task is judged by.

    Attributes:
        margin: how far below a reference still passes.
        success: from which value on a run has succeeded, for networks that fail by seed; None
            where the card names none.
    """

    name: str
    unit: str
    higher_is_better: bool
    margin: float = attrs.field(validator=at_least(0))
    success: Optional[float] = None

    def told(self, value: float) -> str:
        """A value as text: percent with two decimals, a fraction with four."""
        return f"{value:.{self.digits}f}"

    @property
    def digits(self) -> int:
        """Decimals that are worth printing."""
        return 2 if self.unit == "percent" else 4

    def succeeded(self, value: Optional[float]) -> Optional[bool]:
        """Whether a value reaches `success`; without a value it does not; None without it."""
        if self.success is None:
            return None
        if value is None:
            return False
        return value >= self.success if self.higher_is_better else value <= self.success


@attrs.frozen
class TierRules:
    """One tier of one task, complete.

    Attributes:
        seeds: how many runs each case needs, of seeds 0, 1, …
        metric: what is judged; its margin is this tier's.
        chance: what guessing reaches; a reference that would let it pass settles nothing.
        speed_margin: the share of the stored speed that may be missing.
        data_wait_margin: how much larger the share of time spent waiting for data may be.
    """

    tier: str
    cases: Tuple[str, ...]
    seeds: int
    metric: Metric
    chance: Optional[float]
    speed_margin: float
    data_wait_margin: float


@attrs.frozen
class Tier:
    """A tier as the card declares it: what is not there is the task's own.

    Attributes:
        metric: another figure that this tier judges by, with its unit and direction.
    """

    cases: Tuple[str, ...] = attrs.field(validator=filled)
    seeds: int = attrs.field(default=1, validator=at_least(1))
    metric: Optional[str] = None
    unit: Optional[str] = None
    higher_is_better: Optional[bool] = None
    margin: Optional[float] = attrs.field(default=None, validator=at_least(0))
    chance: Optional[float] = None
    speed_margin: Optional[float] = attrs.field(default=None, validator=between(0, 1))
    data_wait_margin: float = attrs.field(default=DATA_WAIT_MARGIN, validator=between(0, 1))

    def mistakes(self) -> Iterator[Tuple[str, str]]:
        """A figure of its own needs a direction, and only such a figure has one."""
        if self.metric is not None and self.higher_is_better is None:
            yield "higher_is_better", "is missing; it must be true or false"
        if self.metric is None and (self.unit, self.higher_is_better) != (None, None):
            yield "metric", "is missing, and its unit or higher_is_better is there"

    def rules(self, tier: str, metric: Metric, speed_margin: float) -> TierRules:
        """The rules of this tier for a task that is judged by `metric`."""
        margin = metric.margin if self.margin is None else self.margin
        if self.metric is None:
            metric = attrs.evolve(metric, margin=margin)
        else:
            better = bool(self.higher_is_better)
            metric = Metric(self.metric, self.unit or "plain", better, margin)
        speed_margin = speed_margin if self.speed_margin is None else self.speed_margin
        return TierRules(
            tier, self.cases, self.seeds, metric, self.chance, speed_margin, self.data_wait_margin
        )


@attrs.frozen
class Weights:
    """The flag that takes weights, and where a run leaves them: patterns, the preferred first."""

    flag: str
    files: Tuple[str, ...]


@attrs.frozen
class Task:
    """One task of a network: its entry points by action, and its cases by name.

    Attributes:
        flags, flags_of: what entry points call the launcher's flags, of all actions and of one.
        paths, inputs: flags that are made absolute paths; those of them that must exist.
        precision: the mode by device kind; with a flag of precision_aliases it is not passed.
        headline: the published figure that the summary tells, with its data, in metric's unit.
        case_network: the network's name in the names of runs.
    """

    entry_points: Dict[str, str] = attrs.field(validator=keys_of(*ACTIONS))
    precision: Dict[str, str] = attrs.field(validator=keys_of(*DEVICES))
    metric: Metric
    speed_margin: float = attrs.field(validator=between(0, 1))
    cases: Dict[str, Case]
    flags: Dict[str, str] = attrs.field(factory=dict, validator=keys_of(*MAPPED_FLAGS))
    flags_of: Dict[str, Dict[str, str]] = attrs.field(factory=dict)
    paths: Tuple[str, ...] = ()
    inputs: Tuple[str, ...] = ()
    required: Tuple[RequiredFlag, ...] = ()
    weights: Optional[Weights] = None
    precision_aliases: Tuple[str, ...] = ()
    tiers: Dict[str, Tier] = attrs.field(
        factory=dict, validator=keys_of(*TIERS), metadata=key("gate")
    )
    headline: str = ""
    case_network: str = ""
    name: str = attrs.field(default="", metadata=OUTSIDE)

    def mistakes(self) -> Iterator[Tuple[str, str]]:
        """Names that name nothing of this task."""
        actions, cases = listed(self.entry_points), listed(self.cases)
        for name, case in self.cases.items():
            if case.action not in self.entry_points:
                yield f"cases.{name}.action", f"must be one of {actions}, not {case.action!r}"
        for action, flags in self.flags_of.items():
            if action not in self.entry_points:
                yield f"flags_of.{action}", f"is not an action of entry_points: {actions}"
            for flag in set(flags) - set(MAPPED_FLAGS):
                allowed = listed(MAPPED_FLAGS, 200)
                yield f"flags_of.{action}.{flag}", f"is not a key; allowed are {allowed}"
        for device in set(DEVICES) - set(self.precision):
            yield f"precision.{device}", "is missing; it must be text"
        for name, tier in self.tiers.items():
            for case_name in set(tier.cases) - set(self.cases):
                text = f"names {quoted(case_name)}; the task's cases are {cases}"
                yield f"gate.{name}.cases", text
            if name == RELEASE and tier.seeds < 2:  # one run has no spread
                yield f"gate.{name}.seeds", f"must be at least 2 at release, not {tier.seeds}"

    @property
    def gate(self) -> Dict[str, TierRules]:
        """The rules of each tier that the card declares."""
        declared = [(tier, self.tiers[tier]) for tier in TIERS if tier in self.tiers]
        return {tier: one.rules(tier, self.metric, self.speed_margin) for tier, one in declared}

    def entry_flag(self, action: str, launcher_flag: str) -> str:
        """The name under which an entry point knows a flag of the launcher."""
        own = self.flags_of.get(action, {})
        return own.get(launcher_flag, self.flags.get(launcher_flag, launcher_flag))

    def required_of(self, case: Case) -> Tuple[RequiredFlag, ...]:
        """The flags that must be given for a case: those of all cases, then its own."""
        return self.required + case.required


@attrs.frozen
class PublishedTable:
    """Figures that others published, in their own columns; never measured here."""

    title: str
    source: str
    columns: Tuple[str, ...]
    rows: Tuple[Tuple[Scalar, ...], ...]

    def mistakes(self) -> Iterator[Tuple[str, str]]:
        """Rows of another width."""
        width = len(self.columns)
        for number, row in enumerate(self.rows):
            if len(row) != width:
                yield f"rows[{number}]", f"must have {width} cells, one for each column"


@attrs.frozen
class ModelCard:
    """One network of the zoo; folder is where its model.yaml lies.

    Attributes:
        twin_of: the network that is the same in another framework; the quick start trains that one.
    """

    schema_version: int = attrs.field(validator=one_of(SCHEMA_VERSION))
    name: str
    title: str
    framework: str = attrs.field(validator=one_of(*FRAMEWORKS))
    paper: str
    default_task: str
    smoke_case: str
    tasks: Dict[str, Task] = attrs.field(validator=filled)
    also_known_as: Tuple[str, ...] = ()
    twin_of: str = ""
    published: Tuple[PublishedTable, ...] = ()
    logs: Tuple[LogFormat, ...] = ()
    folder: Path = attrs.field(default=Path(), metadata=OUTSIDE)

    def mistakes(self) -> Iterator[Tuple[str, str]]:
        """Names that name nothing of this card."""
        if self.default_task not in self.tasks:
            text = f"must be one of {listed(self.tasks)}, not {quoted(self.default_task)}"
            yield "default_task", text
        elif self.smoke_case not in self.task(None).cases:
            cases = listed(self.task(None).cases)
            yield "smoke_case", f"must be one of {cases}, not {quoted(self.smoke_case)}"

    def task(self, name: Optional[str]) -> Task:
        """A task by name, the default one for None; UsageError names the tasks there are."""
        wanted = self.default_task if name is None else name
        if wanted not in self.tasks:
            known = ", ".join(self.tasks)
            raise UsageError(f"{self.name} has no task {wanted!r}; there are: {known}")
        return self.tasks[wanted]


def read_card(path: Path) -> ModelCard:
    """Reads and checks a model.yaml.

    Raises:
        ZooError: with file, key and what is allowed there.
    """
    card, folder = read_yaml(path, ModelCard), Path(path).parent
    if card.name != folder.name:
        text = f"must be the folder's name {folder.name!r}, not {quoted(card.name)}"
        raise ContentError(str(path), [("name", text)])
    tasks = {}
    for name, task in card.tasks.items():
        usual = card.name if len(card.tasks) == 1 else f"{card.name}_{name}"
        tasks[name] = attrs.evolve(task, case_network=task.case_network or usual)
    return attrs.evolve(card, folder=folder, tasks=tasks)
