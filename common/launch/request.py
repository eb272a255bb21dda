"""Turns the words of a command line into card, case, flags and surroundings: all a plan needs."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shlex
import sys
from pathlib import Path
from typing import List, Mapping, Optional, Sequence, Tuple

from common.ascend.device_numbers import check_topology, physical_numbers
from common.ascend.environment import CannEnvironment, cann_environment
from common.cards.model_card import Case, ModelCard, Task
from common.cards.model_folders import checkout_root, find_card, split_name
from common.core.errors import UsageError, ZooError
from common.launch.entry_flags import check_entry_flags
from common.launch.flags import LaunchFlags, parse_flags, with_entry_names
from common.launch.meeting import (
    by_hccl,
    check_chief,
    given_port,
    host_address,
    master_address,
    rank_table,
)
from common.launch.plan import (
    Plan,
    Surroundings,
    absolute,
    contract_folder_of,
    first_device,
    make_plan,
    missing_flag,
    run_folder_of,
    world_size_of,
)
from common.launch.rank_table import check_rank_table
from common.launch.run_folder import find_weights, moved_path
from common.machine import devices
from common.machine.ports import PortReservation, reserve_free_port, reserve_port

_NO_CANN = CannEnvironment((), {}, "not needed")


@dataclasses.dataclass(frozen=True)
class Target:
    """What is to be launched."""

    card: ModelCard
    task: Task
    case: Case


@dataclasses.dataclass(frozen=True)
class Request:
    """A launch that was asked for, understood and checked, but not begun.

    log_in_run_folder keeps rank 0's log away from the contract's path: the gate's runs leave that
    to the user's, and ModelArts collects the run folder alone.
    """

    target: Target
    flags: LaunchFlags
    around: Surroundings
    port: Optional[PortReservation]
    remarks: Tuple[str, ...]
    log_in_run_folder: bool = False

    def plan(self) -> Plan:
        """The plan of this request."""
        return make_plan(
            self.target.card, self.target.task, self.target.case, self.flags, self.around
        )


def find_target(model: str, case: Optional[str], task_flag: Optional[str]) -> Target:
    """Finds network, task and case by name.

    Raises:
        UsageError: no such network or case, two different tasks named.
    """
    card = find_card(checkout_root(), split_name(model)[0])
    task = card.task(_task_name(split_name(model)[1], task_flag))
    if case is None:
        raise UsageError("which case of {}? There are: {}".format(card.name, ", ".join(task.cases)))
    if case not in task.cases:
        raise UsageError(
            "{} has no case {!r}; there are: {}".format(card.name, case, ", ".join(task.cases))
        )
    return Target(card, task, task.cases[case])


def _task_name(in_model: str, in_flag: Optional[str]) -> Optional[str]:
    if in_model and in_flag and in_model != in_flag:
        raise UsageError(
            f"the task is {in_model!r} by name and {in_flag!r} by --task; give one of them"
        )
    return in_model or in_flag or None


def make_request(model: str, case: Optional[str], words: Sequence[str]) -> Request:
    """Understands and checks a launch, and keeps the port that it needs.

    Raises:
        UsageError, ZooError: what is wrong, in one line. Nothing has been written by then.
    """
    return with_port(understood(model, case, words))


def understood(model: str, case: Optional[str], words: Sequence[str]) -> Request:
    """Like make_request, without a port: with_port is for the moment before the ranks start."""
    flags = parse_flags(words)
    target = find_target(model, case, flags.task)
    flags = with_entry_names(flags, target.task, target.case.action)
    missing = missing_flag(target.task, target.case, flags)
    if missing is not None:
        raise missing
    user, directory = dict(os.environ), os.getcwd()
    machine = devices.detect()
    device = _device(flags, target.case, machine, user)
    flags, remarks = _with_weights(target, flags, user, directory)
    address = _meeting_address(target, flags, user, device)
    request = Request(
        target,
        flags,
        Surroundings(
            root=str(checkout_root()),
            library=str(Path(__file__).absolute().parents[2]),
            python=sys.executable,
            user=user,
            directory=directory,
            device=device,
            cores=machine.core_ids[: machine.usable_cores] if device == "cpu" else machine.core_ids,
            master_addr=address,
            master_port=given_port(flags, user) or 0,
            host_address=host_address(flags, address, device) if address else "",
            cann=cann_environment(user, target.card.framework) if device == "npu" else _NO_CANN,
            command=command_line(model, case, words),
        ),
        None,
        remarks,
        log_in_run_folder=on_model_arts(user),
    )
    _check(request)
    return request


def with_port(request: Request) -> Request:
    """The request with a port that is kept for it until release, where this machine is to keep one.

    Raises:
        UsageError, ZooError: no port was given where one must be, or it is in use.
    """
    if not request.around.master_addr:  # a rank table says where ranks meet
        return request
    port = _port(request.flags, request.target.case, request.around.user)
    if port is None:
        return request
    around = dataclasses.replace(request.around, master_port=port.port)
    return dataclasses.replace(request, around=around, port=port)


def command_line(model: str, case: Optional[str], words: Sequence[str]) -> str:
    """What was typed, for the record."""
    return " ".join(
        shlex.quote(word) for word in ["zoo", "launch", model, case or ""] + list(words)
    )


def on_model_arts(user: Mapping[str, str]) -> bool:
    """Whether the ModelArts platform runs this; its own log has what the launcher prints."""
    return bool(user.get("MODELARTS_MODEL_PATH"))


def _device(
    flags: LaunchFlags, case: Case, machine: devices.Machine, user: Mapping[str, str]
) -> str:
    """The device kind; a dry run may plan for one that is not here."""
    wish = flags.device or "auto"
    if flags.dry_run and wish != "auto":
        return wish
    kind = devices.choose_device(wish, machine)
    local = world_size_of(case, flags) // flags.nnodes
    if wish == "auto" and kind == "cpu" and local > 1:
        raise UsageError(
            f"{local} ranks need {local} accelerators and this machine has none; give --device "
            f"cpu to run {local} processes on its cores"
        )
    devices.check_rank_count(kind, local, machine)
    first = first_device(flags, user, local)
    _check_numbers(kind, first, local, machine)
    if kind == "npu" and local > 1:
        check_topology(
            devices.npu_name(), range(first, first + local), physical_numbers(user, Path("/"))
        )
    return kind


def _check_numbers(kind: str, first: int, count: int, machine: devices.Machine) -> None:
    if kind != "cpu" and first + count > machine.count(kind):
        raise UsageError(
            f"device {first + count - 1} is not there: this machine has "
            f"{machine.count(kind)} {kind}, numbered from 0; give "
            "another --device_id (or ASCEND_DEVICE_ID)"
        )


def _meeting_address(
    target: Target, flags: LaunchFlags, user: Mapping[str, str], device: str
) -> str:
    """Where ranks meet; "" where a rank table says so."""
    job = target.card.framework, device, world_size_of(target.case, flags)
    if rank_table(*job, flags, user):
        return ""
    if by_hccl(*job):
        check_chief(flags, user)
    return master_address(flags, user, device)


def _port(flags: LaunchFlags, case: Case, user: Mapping[str, str]) -> Optional[PortReservation]:
    """The port that this machine keeps for the job; None where it is another's to keep."""
    given = given_port(flags, user)
    if flags.nnodes > 1 and given is None:
        raise UsageError(f"--nnodes {flags.nnodes} needs --master_port, the same on every machine")
    if flags.node_rank > 0 or world_size_of(case, flags) == 1 or (flags.dry_run and given):
        return None
    return reserve_free_port() if given is None else reserve_port(given)


def _with_weights(
    target: Target, flags: LaunchFlags, user: Mapping[str, str], directory: str
) -> Tuple[LaunchFlags, Tuple[str, ...]]:
    """Takes the weights of the last run where the case wants some and none were given."""
    weights = target.task.weights
    if (
        not target.case.weights_from_last_run
        or weights is None
        or flags.resume
        or flags.entry.get(weights.flag)
    ):
        return flags, ()
    folder = Path(run_folder_of(target.card, flags, user, directory))
    usual = Path(contract_folder_of(target.card, flags, user))
    found = find_weights(folder, weights.files) or find_weights(usual, weights.files)
    if found is None:
        raise ZooError(
            f"--{weights.flag} is missing: give the weights to start from (there are "
            f"none in {folder} or "
            "in earlier runs beside it)"
        )
    entry = dict(flags.entry, **{weights.flag: str(found)})
    remark = f"--{weights.flag} was not given: {found} is taken"
    return dataclasses.replace(flags, entry=entry), (remark,)


def input_lines(plan: Plan, task: Task) -> List[str]:
    """What a planned run would read, and whether it is there: for people who only plan."""
    lack = missing_package(plan)
    return [
        f"needs        --{name}={path} ({'not here' if _missing(name, path) else 'it is here'})"
        for name, path in _inputs(plan, task)
    ] + ([f"lacks        {lack}"] if lack else [])


def missing_package(plan: Plan) -> str:
    """What this Python lacks for the plan's ranks, with the remedy; "" where nothing is known."""
    package = {"pytorch": "torch", "tensorflow": "tensorflow"}[plan.framework]
    if importlib.util.find_spec(package) is None:
        return (
            f"{package} is not installed for {sys.executable}; activate an environment that has "
            "it, or make one: scripts/setup.sh"
        )
    by_horovod = plan.framework == "tensorflow" and plan.device != "npu" and plan.world_size > 1
    if by_horovod and importlib.util.find_spec("horovod") is None:
        return (
            f"{plan.world_size} TensorFlow ranks on {plan.device} need Horovod, which is not "
            "installed here and compiles against TensorFlow 1.15 alone: scripts/setup.sh --stack "
            "reference --horovod, or --ranks=1"
        )
    return ""


def _inputs(plan: Plan, task: Task) -> List[Tuple[str, str]]:
    return [(name, str(plan.arguments[name])) for name in task.inputs if plan.arguments.get(name)]


def _missing(name: str, path: str) -> str:
    """What is wrong with an input, "" where nothing is."""
    if not os.path.exists(path):
        return f"--{name} {path} does not exist; check the path"
    if not os.access(path, os.R_OK):
        return f"--{name} {path} can't be read; change its rights or give another path"
    return ""


def _check(request: Request) -> None:
    """Raises ZooError for flags that the entry point refuses, and inputs that a run would miss."""
    plan = request.plan()
    rank = plan.ranks[0]
    check_entry_flags(request.target.card, rank.argv[2], rank.argv[3:])
    check_rank_table(plan, request.around.user)
    if request.flags.dry_run:
        return
    problems = [_missing(*given) for given in _inputs(plan, request.target.task)]
    problem = next(filter(None, [*problems, missing_package(plan)]), "")
    if problem:
        raise ZooError(problem)


def with_moved_paths(request: Request, moved: Sequence[Tuple[Path, Path]]) -> Request:
    """The request with path flags led to where folders have been moved."""
    flags, remarks = request.flags, list(request.remarks)
    directory = request.around.directory
    for name in request.target.task.paths:
        text = flags.entry.get(name) if name in flags.entry else getattr(flags, name, None)
        if name == "output_path" or not text:
            continue
        path = absolute(str(text), directory)
        now = moved_path(path, moved)
        if now == path:
            continue
        remarks.append(f"--{name} is now {now}: its folder was moved aside")
        if name in flags.entry:
            flags = dataclasses.replace(flags, entry=dict(flags.entry, **{name: now}))
        else:
            flags = dataclasses.replace(flags, **{name: now})  # type: ignore[arg-type]
    return dataclasses.replace(request, flags=flags, remarks=tuple(remarks))
