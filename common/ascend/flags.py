"""The flags that only an NPU knows, and the options of its session that they ask for."""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path
from typing import Any, Dict, Optional

from common.ascend.session import PLAIN, NpuOptions
from common.ascend.type_files import check_customize_dtypes, check_modify_mixlist
from common.core.errors import UsageError
from common.core.files import make_folder, sha256_of
from common.core.flags import EVALUATIONS, TRAININGS, Flags, count, path, unrecorded
from common.machine.precision import Precision
from common.machine.ranks import Place

MOST_DUMP_SETS = 100
_DUMP_SET = re.compile(r"(\d+)(?:-(\d+))?")


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


@dataclasses.dataclass(frozen=True)
class NpuFlags(Flags):
    """What only an NPU knows, a part of every TensorFlow network's options."""

    customize_dtypes: Optional[str] = unrecorded(
        "pins the types of operations, a line each", kind=path, group="NPU"
    )
    modify_mixlist: Optional[str] = unrecorded(
        "changes the lists of a mixed --precision_mode (JSON)", kind=path
    )
    iterations_per_loop: int = unrecorded(
        "training steps per run of the session", 1, kind=count, only=TRAININGS
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
        """The recorded configuration, with the flags of an NPU that decide the result."""
        return dict(recorded(self), **super().config())


_NOTHING = NpuFlags()
NPU_FLAGS = tuple(field.name for field in dataclasses.fields(NpuFlags) if field.name != "debug")


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
    if flags.iterations_per_loop != _NOTHING.iterations_per_loop:
        given["iterations_per_loop"] = flags.iterations_per_loop
    return given


def _refuse_elsewhere(flags: NpuFlags, kind: str) -> None:
    for name in NPU_FLAGS:
        if getattr(flags, name) != getattr(_NOTHING, name):
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
    if flags.data_dump_step != _NOTHING.data_dump_step and not flags.data_dump_flag:
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


def _folder(place: Path, wanted: bool) -> str:
    """The folder, made: CANN refuses one that is not there."""
    return str(make_folder(place, "--output_path")) if wanted else ""
