"""The plan of a launch: what each rank runs, where, and with which environment. Pure data."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from common.ascend.environment import CannEnvironment
from common.cards.model_card import MAPPED_FLAGS, Case, ModelCard
from common.cards.model_folders import work_folder
from common.core.errors import UsageError
from common.launch.flags import LaunchFlags, Target
from common.launch.rank_environment import Job, Place, RankEnvironment, rank_environment
from common.launch.run_folder import Moves, moved_path

_OF_THE_USER = ("data_path", "train_steps", "train_epochs", "precision_mode", "seed", "resume")


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
class Plan(Job):
    """A launch on this machine, made once; `completed` fills in what its start decides.

    Attributes:
        target, flags: what is launched, and what was asked for.
        command: what was typed, for the record.
        python: the interpreter of the ranks.
        user: the user's environment variables; cann: what CANN's set_env.sh changes.
        run_folder: where checkpoints, record and results go.
        contract_log: where others' scripts look for rank 0's log.
        cores: those that the ranks may use.
        moves: folders that were renamed since; the user's paths follow them.
        remarks: what is said at the start.
        log_in_run_folder: keeps rank 0's log away from the contract's path: the gate's runs leave
            that to the user's, and ModelArts collects the run folder alone.
    """

    target: Target
    flags: LaunchFlags
    command: str
    python: str
    user: Mapping[str, str]
    cann: CannEnvironment
    run_folder: str
    contract_log: str
    cores: Tuple[int, ...]
    moves: Moves = ()
    remarks: Tuple[str, ...] = ()
    log_in_run_folder: bool = False

    @property
    def names(self) -> Dict[str, str]:
        """Model, task and case, as files name them."""
        target = self.target
        return {"model": target.card.name, "task": target.task.name, "case": target.case.name}

    @property
    def batch_size(self) -> int:
        """Samples per step of one device."""
        case, override = self.target.case, self.target.case.overrides.get(self.device)
        own = override.batch_size if override else None
        return self.flags.batch_size or own or case.batch_size

    @property
    def first_device(self) -> int:
        """The first rank's device."""
        return first_device(self.flags, self.user, self.local_size)

    @property
    def arguments(self) -> Dict[str, Optional[str]]:
        """The entry point's flags that are the same for every rank.

        The case's, then the launcher's, then the user's own words.
        """
        flags, task, case = self.flags, self.target.task, self.target.case
        names = {name: self.target.entry_flag(name) for name in MAPPED_FLAGS}
        override = case.overrides.get(self.device)
        values: Dict[str, Any] = {**case.arguments, **(override.arguments if override else {})}
        if flags.train_epochs is not None and flags.train_steps is None:
            values.pop(names["train_steps"], None)  # the case's limit would hide what was asked for
        for name in _OF_THE_USER:
            value = getattr(flags, name)
            if value is not None and value is not False:
                values[names[name]] = value
        values[names["device"]] = self.device
        values[names["ranks"]] = self.world_size
        values[names["batch_size"]] = self.batch_size
        values.update(flags.entry)
        precision = names["precision_mode"]
        if not any(name in values for name in (precision, *task.precision_aliases)):
            values[precision] = task.precision[self.device]
        for name in task.paths:
            if values.get(name):
                values[name] = moved_path(absolute(str(values[name]), self.directory), self.moves)
        return {name: None if value is None else str(value) for name, value in values.items()}

    @property
    def case_name(self) -> str:
        """The ModelZoo's name of the case."""
        case, network = self.target.case, self.target.task.case_network
        return f"{network}_bs{self.batch_size}_{self.world_size}p_{case.kind}"

    @property
    def ranks(self) -> Tuple[RankPlan, ...]:
        """The processes of this machine; UsageError where cores can't be shared as asked."""
        parts = shares(self.cores, self.local_size, self.flags.bind_core)
        return tuple(self._rank(number, part) for number, part in enumerate(parts))

    def _rank(self, local_rank: int, cores: Optional[Tuple[int, ...]]) -> RankPlan:
        number = self.flags.node_rank * self.local_size + local_rank
        device = self.first_device + local_rank
        cwd = os.path.join(self.run_folder, f"rank_{number}")
        flag = self.target.entry_flag
        own = {flag("output_path"): self.run_folder, flag("device_id"): str(device)}
        words = [
            "--" + name if value is None else f"--{name}={value}"
            for name, value in {**self.arguments, **own}.items()
        ]
        return RankPlan(
            rank=number,
            local_rank=local_rank,
            device_id=device,
            argv=(self.python, "-m", self.target.entry_point, *words),
            cwd=cwd,
            log=os.path.join(cwd, f"train_{device}.log"),
            environment=rank_environment(
                self,
                Place(number, local_rank, device),
                {**self.user, **self.cann.changes},
                os.path.join(cwd, "ascend_log"),
            ),
            cores=cores,
        )

    def environment_of(self, rank: RankPlan) -> Dict[str, str]:
        """A rank's whole environment: the user's, CANN's, then the rank's changes."""
        whole = {**self.user, **self.cann.changes, **rank.environment.set}
        return {name: text for name, text in whole.items() if name not in rank.environment.removed}

    @property
    def log(self) -> Path:
        """Rank 0's log by its name in the run folder: the file itself, or the link to it."""
        return Path(self.run_folder) / os.path.basename(self.contract_log)


def completed(plan: Plan, port: int, moves: Moves = ()) -> Plan:
    """The plan with the port that was kept (0: none), and paths led to where folders were moved."""
    port, before = port or plan.master_port, plan.arguments
    plan = dataclasses.replace(plan, master_port=port, moves=moves)
    remarks = [
        f"--{name} is now {value}: its folder was moved aside"
        for name, value in plan.arguments.items()
        if value != before[name]
    ]
    return dataclasses.replace(plan, remarks=(*plan.remarks, *remarks))


def threads_of(cores: int, idle: int, ranks: int) -> int:
    """Threads of each CPU rank, so that all fit beside other work; 0: the framework's choice."""
    return 0 if ranks == 1 and idle >= cores else max(1, idle // ranks)


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


def places_of(
    card: ModelCard, flags: LaunchFlags, user: Mapping[str, str], directory: str
) -> Tuple[str, str]:
    """The contract's log, in the model's test/output/<ASCEND_DEVICE_ID>, and the run folder.

    The run folder is --output_path, else the log's; each further machine has folders of its own.
    """
    number = folder_id(flags, user)
    machine = f"_node{flags.node_rank}" if flags.node_rank > 0 else ""
    folder = os.path.join(str(work_folder(card)), "test", "output", f"{number}{machine}")
    log = os.path.join(folder, f"train_{number}.log")
    if flags.output_path is not None:
        folder = absolute(flags.output_path, directory) + machine
    return log, folder


def absolute(path: str, directory: str) -> str:
    """A path as the user meant it: ~ expanded, relative to where the command was typed."""
    return os.path.abspath(os.path.join(directory, os.path.expanduser(path)))


def shares(cores: Sequence[int], n_ranks: int, wish: str) -> Tuple[Optional[Tuple[int, ...]], ...]:
    """Each rank's cores on this machine, None for a rank that is not bound.

    One rank is never bound: it would lose cores to nobody's gain.

    Args:
        cores: the cores that may be used.
        wish: "auto" binds several ranks that have at least a core each, "true" insists, "false"
            binds none.

    Raises:
        UsageError: binding was asked for and there are fewer cores than ranks.
    """
    if wish == "true" and n_ranks > max(1, len(cores)):
        raise UsageError(
            f"--bind_core: {n_ranks} ranks can't be bound to {len(cores)} cores; leave it out "
            "or give fewer --ranks"
        )
    if wish == "false" or n_ranks == 1 or len(cores) < n_ranks:
        return (None,) * n_ranks
    ordered = sorted(cores)
    edges = [len(ordered) * rank // n_ranks for rank in range(n_ranks + 1)]
    return tuple(tuple(ordered[low:high]) for low, high in zip(edges, edges[1:]))


# --- telling a plan ---


def as_json(plan: Plan) -> Dict[str, Any]:
    """The plan as JSON can hold it."""
    told = "case_name framework device world_size node_count batch_size command run_folder"
    case = plan.target.case
    return {
        **plan.names,
        "action": case.action,
        "kind": case.kind,
        "case_network": plan.target.task.case_network,
        **{name: getattr(plan, name) for name in told.split()},
        "node_rank": plan.flags.node_rank,
        "resume": plan.flags.resume,
        "contract_log": plan.contract_log,
        "arguments": plan.arguments,
        "cann": dataclasses.asdict(plan.cann),
        "ranks": [dataclasses.asdict(rank) for rank in plan.ranks],
    }


def as_text(plan: Plan) -> str:
    """The plan for people: what all ranks share, the first rank, of the others what differs."""
    cann = plan.cann
    sets = f"{', '.join(cann.scripts)} (sets {', '.join(sorted(cann.changes))})"
    first, *others = plan.ranks
    environment = first.environment
    machine = [f"machine {plan.flags.node_rank} of {plan.node_count}"]
    lines = [
        "{model}/{task} {case}".format(**plan.names)
        + f": {plan.world_size} rank{'s' * (plan.world_size > 1)} on {plan.device}, batch "
        f"{plan.batch_size} on each device, {plan.batch_size * plan.world_size} in all",
        *(machine if plan.node_count > 1 else []),
        "case name    " + plan.case_name,
        "run folder   " + plan.run_folder,
        "log          " + plan.contract_log,
        "CANN         " + (sets if cann.scripts else cann.remark),
        "",
        f"rank {first.rank} (device {first.device_id})",
        "  cwd      " + first.cwd,
        "  log      " + first.log,
        "  cores    " + (_ranges(first.cores) if first.cores else "not bound"),
        "  command  " + first.argv[0],
        "           " + " ".join(first.argv[1:3]),
    ]
    lines += ["           " + word for word in first.argv[3:]]
    lines += ["  set      {}={}".format(*pair) for pair in sorted(environment.set.items())]
    lines += ["  kept     {}={} (yours)".format(*pair) for pair in sorted(environment.kept.items())]
    lines += ["  removed  " + " ".join(environment.removed)] if environment.removed else []
    lines += ["", "the other ranks differ in"] if others else []
    for rank in others:
        own = [word for word in rank.argv if word not in first.argv]
        changed = dict(set(rank.environment.set.items()) - set(environment.set.items()))
        own += ["{}={}".format(*pair) for pair in sorted(changed.items())]
        own += [f"cores {_ranges(rank.cores)}"] if rank.cores else []
        lines.append(f"rank {rank.rank} (device {rank.device_id}): " + "  ".join([*own, rank.log]))
    return "\n".join(lines)


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers as "0-3,8"."""
    parts: List[List[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
