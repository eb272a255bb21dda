"""The flags that only an NPU knows, and the parameters of its sessions that they ask for."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Union

from common.core.codec import content_of, parse_json, structured
from common.core.errors import UsageError, ZooError
from common.core.files import make_folder, sha256_of
from common.core.flags import EVALUATIONS, LATER, TRAININGS, Flags, count, flag, path, unrecorded
from common.machine.precision import KEEP, Precision
from common.machine.ranks import Place

# The type of a value says in which field it has to be put: bool in b, int in i, str in s.
Parameter = Union[bool, int, str]
Parameters = Mapping[str, Parameter]
LOOP = "iterations_per_loop"  # training steps that one run of the session makes
_TUNE_OPERATORS = "2"
_PROFILE = {
    "task_trace": "on",
    "training_trace": "on",
    "fp_point": "",
    "bp_point": "",
    "aic_metrics": "PipeUtilization",
}
MOST_DUMP_SETS = 100
_DUMP_SET = re.compile(r"(\d+)(?:-(\d+))?")
_TYPE_FILES = ("customize_dtypes", "modify_mixlist")
LISTS = {"black-list", "white-list", "gray-list"}
CHANGES = {"to-add", "to-remove"}
_DTYPES = r"\w*(?:,\w*)*?"
# By type, or by an operation's name; an empty place leaves a type as it is.
_LINE = re.compile(
    r"(?:OpType::[^:\s]+:|[^:\s]+::)"
    rf"(?:InputDtype:{_DTYPES},OutputDtype:{_DTYPES}|(?:Input|Output)Dtype:{_DTYPES})"
)
_LONGEST_LINE = 1023  # characters that CANN reads
_EXAMPLE = "OpType::MatMulV2:InputDtype:float16,float16,float32,OutputDtype:float32"


def _dump_steps(text: str) -> str:
    sets = [_DUMP_SET.fullmatch(part) for part in text.split("|")]
    sound = all(one and (not one.group(2) or int(one.group(2)) > int(one.group(1))) for one in sets)
    if not sound or len(sets) > MOST_DUMP_SETS:
        raise argparse.ArgumentTypeError(
            f"expected at most {MOST_DUMP_SETS} steps or ranges of them such as "
            f"0|5|10-20, not {text!r}"
        )
    return text


@dataclasses.dataclass(frozen=True)
class NpuFlags(Flags):
    """What only an NPU knows, a part of every TensorFlow network's options."""

    customize_dtypes: Optional[str] = unrecorded(
        "pins the types of operations, a line each", kind=path, group="NPU"
    )
    modify_mixlist: Optional[str] = unrecorded(
        "changes the lists of a mixed --precision_mode (JSON)", kind=path
    )
    iterations_per_loop: int = flag(
        "training steps per run of the session", 1, kind=count, only=TRAININGS, recorded=LATER
    )
    data_dump_flag: bool = unrecorded("write inputs and outputs of every operation", False)
    data_dump_step: str = unrecorded(
        "at which steps, such as 0|5|10-20", "10", kind=_dump_steps, metavar="STEPS"
    )
    over_dump: bool = unrecorded("write the operations that overflow", False)
    autotune: bool = unrecorded("tune operators while compiling (takes hours)", False)
    # A training has a --profiling of its own, which traces a step on other devices too.
    device_profile: bool = unrecorded(
        "write the device's own profile", False, called="profiling", only=EVALUATIONS
    )

    def config(self) -> Dict[str, Any]:
        """The recorded configuration, with the checksums of files that decide the result."""
        given = [name for name in _TYPE_FILES if getattr(self, name)]
        sums = {name + "_sha256": sha256_of(Path(getattr(self, name))) for name in given}
        return {**sums, **super().config()}


def npu_parameters(
    flags: NpuFlags,
    precision: Precision,
    folder: Path,
    place: Place,
    asked: Parameters,
    profile: bool = False,
) -> Parameters:
    """NpuOptimizer's parameters that a network and its user's flags ask for together.

    What the device writes goes to rank_<rank>/ in the run's folder, and to device_<number>/ where
    HCCL has yet to say which rank this is. Paths are absolute: a relative one would be looked for
    where the process runs.

    Args:
        asked: the network's own wishes; the user's files come before its files.

    Raises:
        ZooError: a flag for an NPU elsewhere, flags that exclude each other, an unusable file.
    """
    if precision.device_kind != "npu":
        _refuse_elsewhere(flags, precision.device_kind)
        return {}
    _refuse_contradictions(flags, asked)
    if flags.customize_dtypes:
        check_customize_dtypes(flags.customize_dtypes, str(precision.npu_precision_mode))
    if flags.modify_mixlist:
        check_modify_mixlist(flags.modify_mixlist, str(precision.npu_precision_mode))
    own = f"device_{place.local_rank}" if place.numbered_by_hccl else f"rank_{place.rank}"

    def made(name: str) -> str:  # CANN refuses a folder that is not there
        return os.path.abspath(str(make_folder(folder / own / name, "--output_path")))

    found: Dict[str, Parameter] = {
        name: value for name, value in asked.items() if name not in _TYPE_FILES
    }
    for name in _TYPE_FILES:
        file = getattr(flags, name) or asked.get(name)
        if file:
            found[name] = os.path.abspath(str(file))
    if flags.iterations_per_loop > 1:
        # The device loops only over a dataset whose next element is fetched in the graph.
        found.update({LOOP: flags.iterations_per_loop, "enable_data_pre_proc": True})
    if profile or flags.device_profile:
        choices = dict(_PROFILE, output=made("profiling"))
        found.update(profiling_mode=True, profiling_options=json.dumps(choices))
    if flags.over_dump:
        found.update(enable_dump_debug=True, dump_debug_mode="all", dump_path=made("overflow_dump"))
    elif flags.data_dump_flag:
        found.update(enable_dump=True, dump_mode="all", dump_path=made("data_dump"))
        found["dump_step"] = flags.data_dump_step
    if flags.autotune:
        found.update(aoe_mode=_TUNE_OPERATORS, work_path=made("autotune"))
    return found


def _refuse_elsewhere(flags: NpuFlags, kind: str) -> None:
    for field in dataclasses.fields(NpuFlags):
        name = "profiling" if field.name == "device_profile" else field.name
        if name != "debug" and getattr(flags, field.name) != field.default:
            instead = " (--dump_tensors writes tensors on every device)" if "dump" in name else ""
            raise UsageError(
                f"--{name} is for an NPU and this run is on {kind}; leave it out{instead}"
            )


def _refuse_contradictions(flags: NpuFlags, asked: Parameters) -> None:
    if flags.data_dump_flag and flags.over_dump:
        raise UsageError(
            "--data_dump_flag and --over_dump exclude each other: CANN has one place "
            "for both; give one of them"
        )
    if flags.data_dump_step != NpuFlags.data_dump_step and not flags.data_dump_flag:
        raise UsageError("--data_dump_step needs --data_dump_flag")
    if flags.iterations_per_loop > 1 and asked.get("mix_compile_mode"):
        raise UsageError(
            f"--iterations_per_loop {flags.iterations_per_loop}: a part of this network's step "
            "runs on the host (mix_compile_mode), which makes it 1; leave it out"
        )


# --- the files that pin operations' types: CANN reads them at the first graph, minutes after the
# start, and some mistakes not at all ---


def check_customize_dtypes(path: str, precision_mode: str) -> None:
    """Checks the file, and the precision mode it is given with.

    Raises:
        UsageError: the mode keeps every type, so that the file would have no effect.
        ZooError: the file can't be read or a line has another form.
    """
    if precision_mode == KEEP:
        raise UsageError(
            f"--customize_dtypes has no effect with --precision_mode {KEEP}; leave it out, or give "
            "another mode"
        )
    lines = content_of(Path(path)).decode("utf-8", "replace").splitlines()
    for number, line in enumerate(lines, 1):
        if len(line) > _LONGEST_LINE or not _LINE.fullmatch(line):
            raise ZooError(
                f"--customize_dtypes {path}, line {number}: not of the form {_EXAMPLE} (or "
                f"<name of an operation>::InputDtype:…), at most {_LONGEST_LINE} characters"
            )
    if not lines:
        raise ZooError(f"--customize_dtypes {path} names no operation; leave the flag out")


def check_modify_mixlist(path: str, precision_mode: str) -> None:
    """Checks the file, and the precision mode it is given with.

    Raises:
        UsageError: the mode is not a mixed one, which CANN refuses.
        ZooError: the file can't be read or has another form.
    """
    if "mix" not in precision_mode:
        raise UsageError(
            "--modify_mixlist needs a mixed --precision_mode such as "
            f"allow_mix_precision, not {precision_mode}"
        )
    where = f"--modify_mixlist {path}"
    content = parse_json(content_of(Path(path)), where)
    lists = structured(content, Dict[str, Dict[str, List[str]]], where)
    sound = (changes and set(changes) <= CHANGES for changes in lists.values())
    if not lists or not set(lists) <= LISTS or not all(sound):
        raise ZooError(
            f'{where}: expected {{"black-list": {{"to-add": ["MatMul"]}}}} with lists '
            f"{', '.join(sorted(LISTS))} and changes {', '.join(sorted(CHANGES))}"
        )
