"""The flags that only an NPU knows, and the options of its session that they ask for."""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path
from typing import Any, Dict, Optional

from common.ascend.session_options import PLAIN, NpuOptions
from common.ascend.type_files import check_customize_dtypes, check_modify_mixlist
from common.core.command_line import boolean, number_in
from common.core.errors import UsageError
from common.core.files import make_folder, sha256_of
from common.machine.precision import Precision
from common.machine.ranks import Place

MOST_DUMP_SETS = 100
_NOTHING: Dict[str, Any] = {
    "customize_dtypes": None,
    "modify_mixlist": None,
    "iterations_per_loop": 1,
    "data_dump_flag": False,
    "data_dump_step": "10",
    "over_dump": False,
    "autotune": False,
    "device_profile": False,
}
NPU_FLAGS = tuple(_NOTHING)
_DUMP_SET = re.compile(r"(\d+)(?:-(\d+))?")


@dataclasses.dataclass(frozen=True)
class NpuFlags:
    """What the flags say, a part of every network's options; each field is a flag."""

    customize_dtypes: Optional[str]
    modify_mixlist: Optional[str]
    iterations_per_loop: int
    data_dump_flag: bool
    data_dump_step: str
    over_dump: bool
    autotune: bool
    device_profile: bool


def add_npu_flags(parser: argparse.ArgumentParser, training: bool = True) -> None:
    """Adds the flags that npu_options reads, for a training or for an evaluation."""
    group = parser.add_argument_group("NPU")
    group.add_argument(
        "--customize_dtypes", metavar="FILE", help="pins the types of operations, a line each"
    )
    group.add_argument(
        "--modify_mixlist",
        metavar="FILE",
        help="changes the lists of a mixed --precision_mode (JSON)",
    )
    if training:
        group.add_argument(
            "--iterations_per_loop",
            type=number_in(int, 1),
            metavar="N",
            help="training steps per run of the session",
        )
    else:  # a training has a --profiling of its own, which traces a step on other devices
        group.add_argument(
            "--profiling",
            dest="device_profile",
            type=boolean,
            nargs="?",
            const=True,
            help="write the device's own profile",
        )
    _switch(group, "data_dump_flag", "write inputs and outputs of every operation")
    group.add_argument(
        "--data_dump_step",
        type=_dump_steps,
        metavar="STEPS",
        help="at which steps, such as 0|5|10-20 (default: 10)",
    )
    _switch(group, "over_dump", "write the operations that overflow")
    _switch(group, "autotune", "tune operators while compiling (takes hours)")
    parser.set_defaults(**_NOTHING)


def _switch(group: Any, name: str, text: str) -> None:
    group.add_argument("--" + name, type=boolean, nargs="?", const=True, help=text)


def _dump_steps(text: str) -> str:
    matches = [_DUMP_SET.fullmatch(part) for part in text.split("|")]
    if (
        not all(
            match and (match.group(2) is None or int(match.group(2)) > int(match.group(1)))
            for match in matches
        )
        or len(matches) > MOST_DUMP_SETS
    ):
        raise argparse.ArgumentTypeError(
            f"expected at most {MOST_DUMP_SETS} steps or ranges of them such as "
            f"0|5|10-20, not {text!r}"
        )
    return text


def npu_options(
    flags: NpuFlags,
    precision: Precision,
    folder: Path,
    place: Place,
    asked: NpuOptions = PLAIN,
    profile: bool = False,
) -> NpuOptions:
    """The session options that a network and its user's flags ask for together.

    Args:
        folder: the run folder; what the device writes goes to rank_<rank>/ in it, and to
            device_<number>/ where HCCL has yet to say which rank this is.
        asked: the network's own wishes; the user's files come before its files.
        profile: whether the device is to be profiled.

    Raises:
        UsageError: a flag for an NPU elsewhere, flags that exclude each other.
        ZooError: a file that can't be used.
    """
    if precision.device_kind != "npu":
        _refuse_elsewhere(flags, precision.device_kind)
        return asked
    _refuse_contradictions(flags, asked)
    _check_files(flags, str(precision.npu_precision_mode))
    own = Path(folder) / (
        f"device_{place.local_rank}" if place.numbered_by_hccl else f"rank_{place.rank}"
    )
    return dataclasses.replace(
        asked,
        customize_dtypes=flags.customize_dtypes or asked.customize_dtypes,
        modify_mixlist=flags.modify_mixlist or asked.modify_mixlist,
        iterations_per_loop=flags.iterations_per_loop,
        profiling_folder=_folder(own / "profiling", profile or flags.device_profile),
        data_dump_folder=_folder(own / "data_dump", flags.data_dump_flag),
        data_dump_step=flags.data_dump_step if flags.data_dump_flag else "",
        overflow_dump_folder=_folder(own / "overflow_dump", flags.over_dump),
        autotune_folder=_folder(own / "autotune", flags.autotune),
    )


def recorded(flags: NpuFlags) -> Dict[str, Any]:
    """The flags that decide the result, as a run's configuration has them where they are given."""
    given: Dict[str, Any] = {
        name + "_sha256": sha256_of(Path(getattr(flags, name)))
        for name in ("customize_dtypes", "modify_mixlist")
        if getattr(flags, name)
    }
    if flags.iterations_per_loop != _NOTHING["iterations_per_loop"]:
        given["iterations_per_loop"] = flags.iterations_per_loop
    return given


def _refuse_elsewhere(flags: NpuFlags, kind: str) -> None:
    for name in NPU_FLAGS:
        if getattr(flags, name) != _NOTHING[name]:
            raise UsageError(
                "--{} is for an NPU and this run is on {}; leave it out{}".format(
                    "profiling" if name == "device_profile" else name, kind, _instead(name)
                )
            )


def _instead(name: str) -> str:
    return " (--dump_tensors writes tensors on every device)" if "dump" in name else ""


def _refuse_contradictions(flags: NpuFlags, asked: NpuOptions) -> None:
    if flags.data_dump_flag and flags.over_dump:
        raise UsageError(
            "--data_dump_flag and --over_dump exclude each other: CANN has one place "
            "for both; give one of them"
        )
    if flags.data_dump_step != _NOTHING["data_dump_step"] and not flags.data_dump_flag:
        raise UsageError("--data_dump_step needs --data_dump_flag")
    if flags.iterations_per_loop > 1 and asked.mix_compile_mode:
        raise UsageError(
            f"--iterations_per_loop {flags.iterations_per_loop}: a part of this "
            "network's step runs on the "
            "host (mix_compile_mode), which makes it 1; leave it out"
        )


def _check_files(flags: NpuFlags, precision_mode: str) -> None:
    if flags.customize_dtypes:
        check_customize_dtypes(flags.customize_dtypes, precision_mode)
    if flags.modify_mixlist:
        check_modify_mixlist(flags.modify_mixlist, precision_mode)


def _folder(path: Path, wanted: bool) -> str:
    """The folder, made: CANN refuses one that is not there."""
    return str(make_folder(path, "--output_path")) if wanted else ""
