"""The plan of a launch: what each rank runs, where, and with which environment. Pure data."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, Dict, List, Mapping, Optional, Tuple

from common.ascend.environment import CannEnvironment
from common.cards.model_card import Case, ModelCard, Task
from common.cards.model_folders import work_folder
from common.core.errors import UsageError, ZooError
from common.launch.flags import LaunchFlags
from common.launch.meeting import rank_table
from common.launch.rank_environment import (
    Job,
    Place,
    RankEnvironment,
    check_cluster_variables,
    rank_environment,
)
from common.machine.core_binding import shares

MARKER = "run.json"


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What a plan depends on beside card and flags; gathered by common.launch.request.

    Attributes:
        root: the checkout; library: the folder that holds common/.
        python: the interpreter of the ranks.
        user: the user's environment variables.
        directory: where the user's relative paths start.
        device: npu, gpu or cpu, decided.
        cores: the cores that may be used.
        master_addr, master_port, host_address: as in rank_environment.Job.
        cann: what CANN's set_env.sh changes.
        command: what was typed, for the record.
    """

    root: str
    library: str
    python: str
    user: Mapping[str, str]
    directory: str
    device: str
    cores: Tuple[int, ...]
    master_addr: str
    master_port: int
    host_address: str
    cann: CannEnvironment
    command: str


@dataclasses.dataclass(frozen=True)
class RankPlan:
    """One process: its command line, environment changes, working directory, log and cores."""

    rank: int
    local_rank: int
    device_id: int
    argv: Tuple[str, ...]
    cwd: str
    log: str
    environment: RankEnvironment
    cores: Optional[Tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class Plan:
    """A launch on this machine.

    Attributes:
        batch_size: samples per step of one device.
        world_size: ranks of the whole job; `ranks` are those of this machine.
        run_folder: where checkpoints, record and results go.
        contract_log: where others' scripts look for rank 0's log.
        arguments: the entry point's flags that are the same for every rank.
        environment: variables for every rank from CANN's set_env.sh (cann says which).
    """

    model: str
    task: str
    case: str
    action: str
    kind: str
    case_name: str
    case_network: str
    framework: str
    device: str
    world_size: int
    node_count: int
    node_rank: int
    batch_size: int
    resume: bool
    command: str
    run_folder: str
    contract_log: str
    arguments: Dict[str, Optional[str]]
    cann: CannEnvironment
    ranks: Tuple[RankPlan, ...]


def make_plan(
    card: ModelCard, task: Task, case: Case, flags: LaunchFlags, around: Surroundings
) -> Plan:
    """Makes the plan of one machine's part of a launch.

    Raises:
        UsageError: rank numbers that don't fit together, an impossible core binding.
        ZooError: a required flag is missing.
    """
    world_size = world_size_of(case, flags)
    batch_size = _batch_size(case, flags, around.device)
    arguments = _arguments(task, case, flags, around, world_size, batch_size)
    run_folder = run_folder_of(card, flags, around.user, around.directory)
    job = _job(card, flags, around, world_size)
    check_cluster_variables(job, around.user)
    return Plan(
        model=card.name,
        task=task.name,
        case=case.name,
        action=case.action,
        kind=case.kind,
        case_name=case_name_of(task.case_network, batch_size, world_size, case.kind),
        case_network=task.case_network,
        framework=card.framework,
        device=around.device,
        world_size=world_size,
        node_count=flags.nnodes,
        node_rank=flags.node_rank,
        batch_size=batch_size,
        resume=flags.resume,
        command=around.command,
        run_folder=run_folder,
        contract_log=contract_log_of(card, flags, around.user),
        arguments=arguments,
        cann=around.cann,
        ranks=_rank_plans(task, case, flags, around, job, arguments, run_folder),
    )


def case_name_of(network: str, batch_size: int, world_size: int, kind: str) -> str:
    """`${Network}_bs${BatchSize}_${RANK_SIZE}p_{acc|perf|eval}`; the batch is of one device."""
    return f"{network}_bs{batch_size}_{world_size}p_{kind}"


def world_size_of(case: Case, flags: LaunchFlags) -> int:
    """Ranks of the whole job: --ranks, or the case's on each machine.

    Raises:
        UsageError: machines can't have the same number of ranks each.
    """
    total = flags.ranks if flags.ranks is not None else case.ranks * flags.nnodes
    if total % flags.nnodes:
        raise UsageError(f"--ranks {total} can't be shared evenly by --nnodes {flags.nnodes}")
    if flags.node_rank >= flags.nnodes:
        raise UsageError(f"--node_rank {flags.node_rank} must be below --nnodes {flags.nnodes}")
    return total


def folder_id(flags: LaunchFlags, user: Mapping[str, str]) -> int:
    """The number in the contract's paths: --device_id, else ASCEND_DEVICE_ID, else 0.

    Raises:
        UsageError: ASCEND_DEVICE_ID is not a whole number.
    """
    if flags.device_id is not None:
        return flags.device_id
    text = user.get("ASCEND_DEVICE_ID", "").strip() or "0"
    if not text.isdigit():
        raise UsageError(
            f"ASCEND_DEVICE_ID is {text!r}, not a whole number; set it right, unset it, "
            "or give --device_id"
        )
    return int(text)


def first_device(flags: LaunchFlags, user: Mapping[str, str], local_size: int) -> int:
    """The first rank's device: several ranks take 0, 1, … unless --device_id says where to start.

    ASCEND_DEVICE_ID names one device, so it decides for a single rank only.
    """
    return folder_id(flags, user) if local_size == 1 else flags.device_id or 0


def contract_folder_of(card: ModelCard, flags: LaunchFlags, user: Mapping[str, str]) -> str:
    """The model's test/output/<ASCEND_DEVICE_ID>; each further machine has one of its own."""
    name = str(folder_id(flags, user))
    if flags.node_rank > 0:
        name += f"_node{flags.node_rank}"
    return os.path.join(str(work_folder(card)), "test", "output", name)


def contract_log_of(card: ModelCard, flags: LaunchFlags, user: Mapping[str, str]) -> str:
    """Where the ModelZoo's scripts look for rank 0's log."""
    return os.path.join(
        contract_folder_of(card, flags, user), f"train_{folder_id(flags, user)}.log"
    )


def run_folder_of(
    card: ModelCard, flags: LaunchFlags, user: Mapping[str, str], directory: str
) -> str:
    """The run folder: --output_path (with the machine's number on further ones), else the log's."""
    if flags.output_path is None:
        return contract_folder_of(card, flags, user)
    path = absolute(flags.output_path, directory)
    return path + f"_node{flags.node_rank}" if flags.node_rank > 0 else path


def absolute(path: str, directory: str) -> str:
    """A path as the user meant it: ~ expanded, relative to where the command was typed."""
    return os.path.abspath(os.path.join(directory, os.path.expanduser(path)))


def missing_flag(task: Task, case: Case, flags: LaunchFlags) -> Optional[ZooError]:
    """The error for the first required flag that nobody gave, else None."""
    arguments: Dict[str, Any] = dict(case.arguments, **flags.entry)
    for name in _OF_THE_USER:
        if getattr(flags, name):
            arguments[task.entry_flag(case.action, name)] = getattr(flags, name)
    for required in task.required_of(case):
        excused = required.unless and arguments.get(required.unless.flag) in required.unless.values
        if not arguments.get(required.flag) and not excused:
            return ZooError(
                f"--{required.flag} is missing: give {required.what}; --help tells more"
            )
    return None


def _batch_size(case: Case, flags: LaunchFlags, device: str) -> int:
    if flags.batch_size is not None:
        return flags.batch_size
    override = case.overrides.get(device)
    return (
        case.batch_size if override is None or override.batch_size is None else override.batch_size
    )


def _arguments(
    task: Task,
    case: Case,
    flags: LaunchFlags,
    around: Surroundings,
    world_size: int,
    batch_size: int,
) -> Dict[str, Optional[str]]:
    """The entry point's flags: the case's, then the launcher's, then the user's own words."""
    override = case.overrides.get(around.device)
    values = dict(case.arguments, **(override.arguments if override else {}))
    arguments: Dict[str, Optional[str]] = {name: str(value) for name, value in values.items()}
    names = {name: task.entry_flag(case.action, name) for name in _OF_THE_USER}
    if flags.train_epochs is not None and flags.train_steps is None:
        arguments.pop(names["train_steps"], None)  # the case's limit would hide what was asked for
    for name in _OF_THE_USER:
        value = getattr(flags, name)
        if value is not None and value is not False:
            arguments[names[name]] = str(value)
    decided = {"device": around.device, "ranks": world_size, "batch_size": batch_size}
    arguments.update(
        {task.entry_flag(case.action, name): str(value) for name, value in decided.items()}
    )
    arguments.update(flags.entry)
    _add_precision(arguments, task, case, around.device)
    for name in task.paths:
        if arguments.get(name):
            arguments[name] = absolute(str(arguments[name]), around.directory)
    return arguments


_OF_THE_USER = ("data_path", "train_steps", "train_epochs", "precision_mode", "seed", "resume")


def _add_precision(
    arguments: Dict[str, Optional[str]], task: Task, case: Case, device: str
) -> None:
    name = task.entry_flag(case.action, "precision_mode")
    if not any(other in arguments for other in (name,) + task.precision_aliases):
        arguments[name] = task.precision[device]


def _job(card: ModelCard, flags: LaunchFlags, around: Surroundings, world_size: int) -> Job:
    table = rank_table(card.framework, around.device, world_size, flags, around.user)
    return Job(
        framework=card.framework,
        device=around.device,
        world_size=world_size,
        local_size=world_size // flags.nnodes,
        node_count=flags.nnodes,
        master_addr=around.master_addr,
        master_port=around.master_port,
        host_address=around.host_address,
        rank_table=absolute(table, around.directory) if table else "",
        cores=len(around.cores),
        python_path=_python_path(card, around),
        directory=around.directory,
    )


def _python_path(card: ModelCard, around: Surroundings) -> Tuple[str, ...]:
    folders = [around.root, str(card.folder.parent), around.library]
    return tuple(sorted(set(folders), key=folders.index))


def _rank_plans(
    task: Task,
    case: Case,
    flags: LaunchFlags,
    around: Surroundings,
    job: Job,
    arguments: Mapping[str, Optional[str]],
    run_folder: str,
) -> Tuple[RankPlan, ...]:
    first = first_device(flags, around.user, job.local_size)
    cores = shares(around.cores, job.local_size, flags.bind_core)
    base = dict(around.user, **around.cann.changes)
    plans: List[RankPlan] = []
    for local_rank in range(job.local_size):
        place = Place(flags.node_rank * job.local_size + local_rank, local_rank, first + local_rank)
        cwd = os.path.join(run_folder, f"rank_{place.rank}")
        plans.append(
            RankPlan(
                rank=place.rank,
                local_rank=local_rank,
                device_id=place.device_id,
                argv=_argv(task, case, around.python, arguments, run_folder, place),
                cwd=cwd,
                log=os.path.join(cwd, f"train_{place.device_id}.log"),
                environment=rank_environment(job, place, base, os.path.join(cwd, "ascend_log")),
                cores=cores[local_rank],
            )
        )
    return tuple(plans)


def _argv(
    task: Task,
    case: Case,
    python: str,
    arguments: Mapping[str, Optional[str]],
    run_folder: str,
    place: Place,
) -> Tuple[str, ...]:
    words = [python, "-m", task.entry_points[case.action]]
    own = {
        task.entry_flag(case.action, "output_path"): run_folder,
        task.entry_flag(case.action, "device_id"): str(place.device_id),
    }
    for name, value in dict(arguments, **own).items():
        words.append("--" + name if value is None else f"--{name}={value}")
    return tuple(words)


def as_json(plan: Plan) -> Dict[str, Any]:
    """The plan as JSON can hold it."""
    return dataclasses.asdict(plan)


def as_text(plan: Plan) -> str:
    """The plan for people: once what all ranks share, then each rank."""
    lines = [
        "{}/{} {}: {} rank{} on {}, batch {} on each device, {} in all".format(
            plan.model,
            plan.task,
            plan.case,
            plan.world_size,
            "s" * (plan.world_size > 1),
            plan.device,
            plan.batch_size,
            plan.batch_size * plan.world_size,
        )
    ]
    if plan.node_count > 1:
        lines.append(f"machine {plan.node_rank} of {plan.node_count}")
    lines += [
        "case name    " + plan.case_name,
        "run folder   " + plan.run_folder,
        "log          " + plan.contract_log,
        "CANN         " + _cann_text(plan.cann),
    ]
    lines += _rank_lines(plan.ranks[0])
    others = plan.ranks[1:]
    lines += ["", "the other ranks differ in"] if others else []
    return "\n".join(lines + [_difference_line(plan.ranks[0], rank) for rank in others])


def _cann_text(cann: CannEnvironment) -> str:
    if not cann.scripts:
        return cann.remark
    return "{} (sets {})".format(", ".join(cann.scripts), ", ".join(sorted(cann.changes)))


def _rank_lines(rank: RankPlan) -> List[str]:
    lines = [
        "",
        f"rank {rank.rank} (device {rank.device_id})",
        "  cwd      " + rank.cwd,
        "  log      " + rank.log,
        "  cores    " + (_ranges(rank.cores) if rank.cores else "not bound"),
        "  command  " + rank.argv[0],
    ]
    lines += ["           " + word for word in _argument_lines(rank.argv[1:])]
    environment = rank.environment
    lines += ["  set      {}={}".format(*pair) for pair in sorted(environment.set.items())]
    lines += ["  kept     {}={} (yours)".format(*pair) for pair in sorted(environment.kept.items())]
    lines += ["  removed  " + " ".join(environment.removed)] if environment.removed else []
    return lines


def _difference_line(first: RankPlan, rank: RankPlan) -> str:
    """What another rank has otherwise than the first, in one line."""
    told = [word for word in rank.argv if word not in first.argv]
    told += [
        f"{name}={value}"
        for name, value in sorted(rank.environment.set.items())
        if first.environment.set.get(name) != value
    ]
    cores = [f"cores {_ranges(rank.cores)}"] if rank.cores else []
    return f"rank {rank.rank} (device {rank.device_id}): " + "  ".join([*told, *cores, rank.log])


def _argument_lines(words: Tuple[str, ...]) -> List[str]:
    return [" ".join(words[:2])] + list(words[2:])


def _ranges(numbers: Tuple[int, ...]) -> str:
    """Ascending numbers as "0-3,8"."""
    parts: List[List[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
