"""The model card: what a network's model.yaml says of its tasks, cases, flags and figures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from common.cards.log_format import LogFormat, read_formats
from common.cards.tiers import TierRules, read_gate
from common.core.errors import UsageError
from common.core.section import Scalar, Section, load_yaml

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


@dataclasses.dataclass(frozen=True)
class RequiredFlag:
    """A flag of the entry point that must be given, unless another has one of some values."""

    flag: str
    what: str
    unless_flag: str
    unless_values: Tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Override:
    """What a case does otherwise on one device kind; batch_size None keeps the case's own."""

    batch_size: Optional[int]
    arguments: Dict[str, Scalar]


@dataclasses.dataclass(frozen=True)
class Case:
    """A run with a name. arguments are flags of the entry point, batch_size is per device."""

    name: str
    description: str
    action: str
    kind: str
    ranks: int
    batch_size: int
    arguments: Dict[str, Scalar]
    overrides: Dict[str, Override]
    required: Tuple[RequiredFlag, ...]
    weights_from_last_run: bool

    @property
    def promises_accuracy(self) -> bool:
        """Whether a run without an accuracy has failed."""
        return self.kind in ("acc", "eval")

    @property
    def promises_speed(self) -> bool:
        """Whether a run without a throughput has failed."""
        return self.kind in ("acc", "perf")


@dataclasses.dataclass(frozen=True)
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
    margin: float
    success: Optional[float] = None

    def told(self, value: float) -> str:
        """A value as text: percent with two decimals, a fraction with four."""
        return "{:.{}f}".format(value, self.digits)

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


@dataclasses.dataclass(frozen=True)
class Weights:
    """The flag that takes weights, and where a run leaves them: patterns, the preferred first."""

    flag: str
    files: Tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Task:
    """One task of a network: its entry points by action, and its cases by name."""

    name: str
    case_network: str
    entry_points: Dict[str, str]
    flags: Dict[str, Dict[str, str]]
    paths: Tuple[str, ...]
    inputs: Tuple[str, ...]
    weights: Optional[Weights]
    precision: Dict[str, str]
    precision_aliases: Tuple[str, ...]
    metric: Metric
    speed_margin: float
    cases: Dict[str, Case]
    gate: Dict[str, TierRules] = dataclasses.field(default_factory=dict)

    def entry_flag(self, action: str, launcher_flag: str) -> str:
        """The name under which an entry point knows a flag of the launcher."""
        return self.flags[action].get(launcher_flag, launcher_flag)


@dataclasses.dataclass(frozen=True)
class PublishedTable:
    """Figures that others published, in their own columns; never measured here."""

    title: str
    source: str
    columns: Tuple[str, ...]
    rows: Tuple[Tuple[Scalar, ...], ...]


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """One network of the zoo; folder is where its model.yaml lies."""

    folder: Path
    name: str
    title: str
    also_known_as: Tuple[str, ...]
    framework: str
    paper: str
    default_task: str
    smoke_case: str
    tasks: Dict[str, Task]
    published: Tuple[PublishedTable, ...]
    logs: Tuple[LogFormat, ...] = ()

    def task(self, name: Optional[str]) -> Task:
        """A task by name, the default one for None; UsageError names the tasks there are."""
        wanted = self.default_task if name is None else name
        if wanted not in self.tasks:
            raise UsageError(
                "{} has no task {!r}; there are: {}".format(
                    self.name, wanted, ", ".join(self.tasks)
                )
            )
        return self.tasks[wanted]


def read_card(path: Path) -> ModelCard:
    """Reads and checks a model.yaml.

    Raises:
        ZooError: with file, key and what is allowed there.
    """
    top = load_yaml(path)
    top.choice("schema_version", (SCHEMA_VERSION,))
    card = ModelCard(
        folder=Path(path).parent,
        name=top.value("name", str),
        title=top.value("title", str),
        also_known_as=top.texts("also_known_as"),
        framework=top.choice("framework", FRAMEWORKS),
        paper=top.value("paper", str),
        default_task=top.value("default_task", str),
        smoke_case=top.value("smoke_case", str),
        tasks=_tasks(top),
        published=tuple(_published(part) for part in top.section_list("published")),
        logs=read_formats(top.section_list("logs")),
    )
    top.done()
    _check_names(top, card)
    return card


def _check_names(top: Section, card: ModelCard) -> None:
    if card.name != card.folder.name:
        top.fail("name", f"must be the folder's name {card.folder.name!r}, not {card.name!r}")
    if card.default_task not in card.tasks:
        top.fail(
            "default_task",
            "must be one of {}, not {!r}".format(", ".join(card.tasks), card.default_task),
        )
    cases = card.tasks[card.default_task].cases
    if card.smoke_case not in cases:
        top.fail(
            "smoke_case", "must be one of {}, not {!r}".format(", ".join(cases), card.smoke_case)
        )


def _tasks(top: Section) -> Dict[str, Task]:
    sections = top.sections("tasks")
    single = len(sections) == 1
    model = top.value("name", str)
    return {
        name: _task(section, name, model if single else f"{model}_{name}")
        for name, section in sections.items()
    }


def _task(section: Section, name: str, case_network: str) -> Task:
    entry_points = _entry_points(section.section("entry_points"))
    required = [_required(part) for part in section.section_list("required")]
    task = Task(
        name=name,
        case_network=section.value("case_network", str, case_network),
        entry_points=entry_points,
        flags=_flags(section, entry_points),
        paths=section.texts("paths"),
        inputs=section.texts("inputs"),
        weights=_weights(section),
        precision=_precision(section.section("precision")),
        precision_aliases=section.texts("precision_aliases"),
        metric=_metric(section.section("metric")),
        speed_margin=section.value("speed_margin", float),
        cases={
            case: _case(part, case, entry_points, required)
            for case, part in section.sections("cases").items()
        },
    )
    task = dataclasses.replace(task, gate=_gate(section, task))
    section.done()
    return task


def _gate(section: Section, task: Task) -> Dict[str, TierRules]:
    if not section.has("gate"):
        return {}
    return read_gate(section.section("gate"), task.metric, task.speed_margin, tuple(task.cases))


def _entry_points(section: Section) -> Dict[str, str]:
    found = {action: section.optional(action, str) for action in ACTIONS}
    section.done()
    return {action: module for action, module in found.items() if module is not None}


def _flags(section: Section, entry_points: Dict[str, str]) -> Dict[str, Dict[str, str]]:
    """Per action: the flags of the launcher that the entry point knows under another name."""
    common_part = _flag_names(section.section("flags")) if section.has("flags") else {}
    own = section.sections("flags_of") if section.has("flags_of") else {}
    for action in own:
        if action not in entry_points:
            section.fail(
                "flags_of." + action,
                "is not an action of entry_points; allowed are " + ", ".join(entry_points),
            )
    return {
        action: dict(common_part, **(_flag_names(own[action]) if action in own else {}))
        for action in entry_points
    }


def _flag_names(section: Section) -> Dict[str, str]:
    found = {flag: section.optional(flag, str) for flag in MAPPED_FLAGS}
    section.done()
    return {flag: entry for flag, entry in found.items() if entry is not None}


def _required(section: Section) -> RequiredFlag:
    unless = section.section("unless") if section.has("unless") else None
    required = RequiredFlag(
        flag=section.value("flag", str),
        what=section.value("what", str),
        unless_flag=unless.value("flag", str) if unless else "",
        unless_values=unless.texts("values") if unless else (),
    )
    section.done()
    if unless:
        unless.done()
    return required


def _weights(section: Section) -> Optional[Weights]:
    if not section.has("weights"):
        return None
    part = section.section("weights")
    weights = Weights(flag=part.value("flag", str), files=part.texts("files"))
    part.done()
    return weights


def _precision(section: Section) -> Dict[str, str]:
    modes = {device: section.value(device, str) for device in DEVICES}
    section.done()
    return modes


def _metric(section: Section) -> Metric:
    metric = Metric(
        name=section.value("name", str),
        unit=section.value("unit", str),
        higher_is_better=section.value("higher_is_better", bool),
        margin=section.value("margin", float),
        success=section.optional("success", float),
    )
    section.done()
    return metric


def _case(
    section: Section, name: str, entry_points: Dict[str, str], required: List[RequiredFlag]
) -> Case:
    action = section.choice("action", tuple(entry_points))
    case = Case(
        name=name,
        description=section.value("description", str),
        action=action,
        kind=section.choice("kind", KINDS),
        ranks=section.positive("ranks"),
        batch_size=section.positive("batch_size"),
        arguments=section.scalars("arguments"),
        overrides=_overrides(section),
        required=tuple(required)
        + tuple(_required(part) for part in section.section_list("required")),
        weights_from_last_run=section.value("weights_from_last_run", bool, False),
    )
    section.done()
    return case


def _overrides(section: Section) -> Dict[str, Override]:
    if not section.has("on_device"):
        return {}
    outer = section.section("on_device")
    found: Dict[str, Override] = {}
    for device in outer.keys():  # noqa: SIM118
        if device not in DEVICES:
            outer.fail(device, "is not a device kind; allowed are " + ", ".join(DEVICES))
        part = outer.section(device)
        size = part.positive("batch_size") if part.has("batch_size") else None
        found[device] = Override(size, part.scalars("arguments"))
        part.done()
    return found


def _published(section: Section) -> PublishedTable:
    columns = section.texts("columns")
    table = PublishedTable(
        title=section.value("title", str),
        source=section.value("source", str),
        columns=columns,
        rows=section.rows("rows", len(columns)),
    )
    section.done()
    return table


def as_json(card: ModelCard) -> Dict[str, Any]:
    """The card as JSON can hold it, without the place where it was found."""
    content = dataclasses.asdict(card)
    del content["folder"]
    return content
