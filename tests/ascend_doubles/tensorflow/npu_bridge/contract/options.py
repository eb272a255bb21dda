"""The NpuOptimizer's parameter_map: which keys and fields are read, and which values are legal."""

from __future__ import annotations

import json
import os
import re
from typing import Any, Dict, NamedTuple

from npu_bridge.contract.process import PROCESS, PluginAbort, error, is_first_generation


class Key(NamedTuple):
    """A key's field ("b", "i" or "s"), its default, and whether GE takes it once."""

    field: str
    default: Any
    once: bool = True


# The keys of the adapter's documents that a program of the zoo gives.
KEYS: Dict[str, Key] = {
    "use_off_line": Key("b", True, once=False),
    "mix_compile_mode": Key("b", False, once=False),
    "iterations_per_loop": Key("i", 1, once=False),
    "enable_data_pre_proc": Key("b", False, once=False),
    "graph_run_mode": Key("i", 1),
    "precision_mode": Key("s", None),
    "modify_mixlist": Key("s", ""),
    "customize_dtypes": Key("s", ""),
    "hcom_parallel": Key("b", True),
    "session_device_id": Key("i", None),
    "enable_dump": Key("b", False),
    "enable_dump_debug": Key("b", False),
    "dump_path": Key("s", ""),
    "dump_step": Key("s", ""),
    "dump_mode": Key("s", "output"),
    "dump_debug_mode": Key("s", "all"),
    "profiling_mode": Key("b", False),
    "profiling_options": Key("s", ""),
    "aoe_mode": Key("s", ""),
    "work_path": Key("s", "./"),
}
MIXED = ("allow_mix_precision", "allow_mix_precision_fp16", "allow_mix_precision_bf16")
PRECISION_MODES = (
    "force_fp32",
    "cube_fp16in_fp32out",
    "must_keep_origin_dtype",
    "allow_fp32_to_fp16",
    "allow_fp32_to_bf16",
    "force_fp16",
) + MIXED
_CHOICES: Dict[str, Any] = {
    "graph_run_mode": (0, 1),
    "dump_mode": ("input", "output", "all"),
    "dump_debug_mode": ("aicore_overflow", "atomic_overflow", "all"),
    "aoe_mode": ("", "1", "2", "4"),
    "precision_mode": (None,) + PRECISION_MODES,
}
_MOST_DUMP_SETS = 100
_DUMP_SET = re.compile(r"(\d+)(?:-(\d+))?")


def find_optimizer(config: Any) -> Any:
    """The config's NpuOptimizer entry, by its exact name; None without one."""
    optimizers = () if config is None else config.graph_options.rewrite_options.custom_optimizers
    return next((one for one in optimizers if one.name == "NpuOptimizer"), None)


def is_offloaded(optimizer: Any) -> bool:
    """Whether sessions with this entry run their graphs on the NPU."""
    attributes = optimizer.parameter_map
    return attributes["use_off_line"].b if "use_off_line" in attributes else True


def read_options(optimizer: Any) -> Dict[str, Any]:
    """All options with their values, the defaults included, checked against the rules.

    Raises:
        PluginAbort, InternalError: a value is illegal.
    """
    values = {name: key.default for name, key in KEYS.items()}
    for name, attribute in optimizer.parameter_map.items():
        if name not in KEYS:
            PROCESS.unknown.append(name)  # it looks for the keys that it knows: nobody is told
            continue
        field = KEYS[name].field
        if attribute.WhichOneof("value") != field:
            PROCESS.misread.append(name)
        value = getattr(attribute, field)  # protobuf gives zero for a field that is not set
        values[name] = value.decode() if field == "s" else value
    _check(values)
    if values["mix_compile_mode"]:
        values["iterations_per_loop"] = 1
    if values["precision_mode"] is None:
        values["precision_mode"] = (
            "allow_fp32_to_fp16" if is_first_generation() else "must_keep_origin_dtype"
        )
    for name in ("customize_dtypes", "modify_mixlist"):
        values[name] = os.path.abspath(values[name]) if values[name] else ""
    return values


def _check(values: Dict[str, Any]) -> None:
    for name, legal in _CHOICES.items():
        if values[name] not in legal:
            raise PluginAbort(f"{name} is {values[name]!r}, not one of {legal}")
    if values["iterations_per_loop"] < 1 or (values["session_device_id"] or 0) < 0:
        raise PluginAbort("iterations_per_loop is at least 1, session_device_id at least 0")
    mode = values["precision_mode"]
    if is_first_generation() and "bf16" in (mode or ""):
        raise error(f"{mode} is not supported on this chip")
    if values["modify_mixlist"] and mode not in MIXED:
        raise error("modify_mixlist is for mixed precision modes only")
    for name in ("modify_mixlist", "customize_dtypes"):
        if values[name] and not os.path.isfile(values[name]):  # looked for where the process is
            raise error(f"{name}: {values[name]} does not exist")
    _check_dump(values)
    _check_profile(values)


def _check_dump(values: Dict[str, Any]) -> None:
    dumps = values["enable_dump"] or values["enable_dump_debug"]
    if dumps and not os.access(values["dump_path"], os.R_OK | os.W_OK | os.X_OK):
        raise PluginAbort("dump_path {dump_path!r} must be a folder".format(**values))
    sets = values["dump_step"].split("|") if values["dump_step"] else []
    matches = [_DUMP_SET.fullmatch(text) for text in sets]
    if len(sets) > _MOST_DUMP_SETS or not all(
        match and (match.group(2) is None or int(match.group(1)) < int(match.group(2)))
        for match in matches
    ):
        raise PluginAbort("dump_step {dump_step!r}".format(**values))


def _check_profile(values: Dict[str, Any]) -> None:
    if not values["profiling_mode"]:
        return
    try:
        asked = json.loads(values["profiling_options"])
    except ValueError:
        asked = None
    if not isinstance(asked, dict) or not asked.get("output"):
        raise PluginAbort("profiling_options is no JSON object with an output")
    if asked.get("training_trace") == "on" and not {"fp_point", "bp_point"} <= set(asked):
        raise PluginAbort("profiling_options: training_trace needs fp_point and bp_point")
