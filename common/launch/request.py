"""A launch that was asked for: understood, checked and planned, and nothing written yet."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import sys
from pathlib import Path
from typing import List, Mapping, Tuple

from common.ascend.device_numbers import check_start_by_chief, check_topology, physical_numbers
from common.ascend.environment import CannEnvironment, cann_environment
from common.cards.model_folders import checkout_root
from common.core.errors import UsageError, ZooError
from common.launch import meeting
from common.launch.flags import LaunchFlags, Target, check_required, entry_parser
from common.launch.plan import (
    Plan,
    absolute,
    first_device,
    places_of,
    threads_of,
    world_size_of,
)
from common.launch.rank_environment import THREADS
from common.launch.run_folder import find_weights
from common.machine import devices
from common.machine.ports import NO_PORT, PortReservation, reserve_port
from common.runs.marker import read_marker

_NO_CANN = CannEnvironment((), {}, "not needed")


def planned(target: Target, flags: LaunchFlags, command: str) -> Plan:
    """Checks and plans a launch; `command` is what was typed, for the record.

    Raises:
        UsageError, ZooError: what is wrong, in one line. Nothing has been written by then.
    """
    check_required(target, flags)
    user, directory, framework = dict(os.environ), os.getcwd(), target.card.framework
    machine = devices.detect()
    world_size = world_size_of(target.case, flags)
    local = world_size // flags.nnodes
    device = _device(flags, local, machine, user)
    log, folder = places_of(target.card, flags, user, directory)
    flags, remarks = _with_weights(target, flags, Path(folder), Path(log).parent)
    table = meeting.rank_table(framework, device, world_size, flags, user)
    address = "" if table else meeting.master_address(flags, user, device)
    cores = machine.core_ids[: machine.usable_cores] if device == "cpu" else machine.core_ids
    earlier = read_marker(Path(folder)).threads * local if flags.resume and device == "cpu" else 0
    threads = threads_of(len(cores), earlier or len(cores), local) if device == "cpu" else 0
    if 0 < earlier < len(cores) and THREADS not in user:
        remarks += (_told_of("as before", threads),)
    root, library = checkout_root(), Path(__file__).absolute().parents[2]
    plan = Plan(
        target=target,
        flags=flags,
        framework=framework,
        device=device,
        world_size=world_size,
        local_size=local,
        node_count=flags.nnodes,
        python_path=tuple(dict.fromkeys(map(str, (root, target.card.folder.parent, library)))),
        directory=directory,
        user=user,
        cores=cores,
        threads=threads,
        master_addr=address,
        master_port=meeting.given_port(flags, user) or 0,
        host_address=meeting.host_address(flags, address, device) if address else "",
        rank_table=absolute(table, directory) if table else "",
        cann=cann_environment(user, framework) if device == "npu" else _NO_CANN,
        python=sys.executable,
        command=command,
        contract_log=log,
        run_folder=folder,
        remarks=remarks,
        log_in_run_folder=bool(user.get("MODELARTS_MODEL_PATH")),
    )
    meeting.check_hccl(plan, flags, user)
    ranks = plan.ranks
    entry_parser(target).parse_args(list(ranks[0].argv[3:]))  # its values' types too
    if plan.rank_table:
        numbers = [(rank.rank, rank.device_id) for rank in ranks]
        meeting.check_rank_table(plan.rank_table, world_size, numbers, user)
    if "CM_CHIEF_IP" in ranks[0].environment.set:
        check_start_by_chief(devices.npu_name())
    if not flags.dry_run:
        problems = [_missing(*given) for given in _inputs(plan)]
        problem = next(filter(None, [*problems, missing_package(plan)]), "")
        if problem:
            raise ZooError(problem)
    return plan


def beside_other_work(plan: Plan) -> Plan:
    """The plan with CPU ranks on the cores that other work leaves now, and a remark on it.

    A resumed run keeps its number of threads: sums of other threads differ in their last bits.
    """
    settled = plan.flags.resume or THREADS in plan.user or plan.threads == 1  # no fewer than one
    if plan.device != "cpu" or settled:
        return plan
    cores = len(plan.cores)
    idle = devices.idle_cores(devices.allowed_cores())
    if idle >= cores:
        return plan
    threads = threads_of(cores, idle, plan.local_size)
    remark = _told_of(f"other work holds some of the {cores} cores", threads)
    return dataclasses.replace(plan, threads=threads, remarks=(*plan.remarks, remark))


def _told_of(why: str, threads: int) -> str:
    return f"{why}: {threads} thread(s) for each rank; {THREADS} sets another number"


def kept_port(plan: Plan) -> PortReservation:
    """The port that this machine keeps for the job; 0 where there is none to keep.

    Raises:
        UsageError, ZooError: no port was given where one must be, or it is in use.
    """
    flags = plan.flags
    if not plan.master_addr:  # a rank table says where ranks meet
        return NO_PORT
    given = plan.master_port
    if flags.nnodes > 1 and not given:
        raise UsageError(f"--nnodes {flags.nnodes} needs --master_port, the same on every machine")
    if flags.node_rank > 0 or plan.world_size == 1 or (flags.dry_run and given):
        return NO_PORT
    return reserve_port(given)


def _device(
    flags: LaunchFlags, local: int, machine: devices.Machine, user: Mapping[str, str]
) -> str:
    """The device kind of so many ranks; a dry run may plan for one that is not here."""
    wish = flags.device or "auto"
    if flags.dry_run and wish != "auto":
        return wish
    kind = devices.choose_device(wish, machine)
    if wish == "auto" and kind == "cpu" and local > 1:
        raise UsageError(
            f"{local} ranks need {local} accelerators and this machine has none; give --device "
            f"cpu to run {local} processes on its cores"
        )
    devices.check_rank_count(kind, local, machine)
    first = first_device(flags, user, local)
    if kind != "cpu" and first + local > machine.count(kind):
        raise UsageError(
            f"device {first + local - 1} is not there: this machine has {machine.count(kind)} "
            f"{kind}, numbered from 0; give another --device_id (or ASCEND_DEVICE_ID)"
        )
    if kind == "npu" and local > 1:
        numbers = physical_numbers(user, Path("/"))
        check_topology(devices.npu_name(), range(first, first + local), numbers)
    return kind


def _with_weights(
    target: Target, flags: LaunchFlags, folder: Path, usual: Path
) -> Tuple[LaunchFlags, Tuple[str, ...]]:
    """Takes the weights of the last run where the case wants some and none were given."""
    weights, wanted = target.task.weights, target.case.weights_from_last_run
    if not wanted or weights is None or flags.resume or flags.entry.get(weights.flag):
        return flags, ()
    found = find_weights(folder, weights.files) or find_weights(usual, weights.files)
    if found is None:
        raise ZooError(
            f"--{weights.flag} is missing: give the weights to start from (there are none in "
            f"{folder} or in earlier runs beside it)"
        )
    entry = dict(flags.entry, **{weights.flag: str(found)})
    remark = f"--{weights.flag} was not given: {found} is taken"
    return dataclasses.replace(flags, entry=entry), (remark,)


# --- what a run needs ---


def input_lines(plan: Plan) -> List[str]:
    """What a planned run would read, and whether it is there: for people who only plan."""
    lack = missing_package(plan)
    return [
        f"needs        --{name}={path} ({'not here' if _missing(name, path) else 'it is here'})"
        for name, path in _inputs(plan)
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


def _inputs(plan: Plan) -> List[Tuple[str, str]]:
    names = plan.target.task.inputs
    return [(name, str(plan.arguments[name])) for name in names if plan.arguments.get(name)]


def _missing(name: str, path: str) -> str:
    """What is wrong with an input, "" where nothing is."""
    if not os.path.exists(path):
        return f"--{name} {path} does not exist; check the path"
    if not os.access(path, os.R_OK):
        return f"--{name} {path} can't be read; change its rights or give another path"
    return ""
