"""Which values of options are legal, and what follows from them (1.6, 1.7)."""

from __future__ import annotations

import json
import os
import re
from typing import Any, Callable, Dict, List, Mapping, Set

from npu_bridge.contract import cann, option_files
from npu_bridge.contract.failures import PluginAbort, error
from npu_bridge.contract.process import PROCESS

Values = Mapping[str, Any]
IMPLEMENTATION_MODES = (
    "high_precision",
    "high_performance",
    "high_precision_for_all",
    "high_performance_for_all",
)
MIXED = ("allow_mix_precision", "allow_mix_precision_fp16", "allow_mix_precision_bf16")
MIXED_V2 = ("mixed_float16", "mixed_bfloat16")
PRECISION_MODES = (
    "force_fp32",
    "cube_fp16in_fp32out",
    "must_keep_origin_dtype",
    "allow_fp32_to_fp16",
    "allow_fp32_to_bf16",
    "force_fp16",
) + MIXED
PRECISION_MODES_V2 = ("cube_fp16in_fp32out", "origin", "fp16") + MIXED_V2
LARGEST_DUMP = 100
_STEPS = re.compile(r"\d+(-\d+)?(\|\d+(-\d+)?)*")
# Those whose values are few; "" is "not set".
_CHOICES: Dict[str, Any] = {
    "variable_placement": ("Host", "Device"),
    "buffer_optimize": ("l2_optimize", "off_optimize"),
    "op_compiler_cache_mode": ("", "enable", "disable", "force"),
    "dump_mode": ("input", "output", "all"),
    "dump_debug_mode": ("aicore_overflow", "atomic_overflow", "all"),
    "dump_data": ("", "tensor", "stats"),
    "aoe_mode": ("", "1", "2", "4", "mdat"),
    "graph_slice": ("", "auto", "manual"),
    "jit_compile": ("true", "false", "auto"),
    "deterministic": (0, 1),
    "enable_small_channel": (0, 1),
    "enable_exception_dump": (0, 1, 2),
    "dynamic_node_type": (None, 0, 1),
    "op_select_implmode": ("",) + IMPLEMENTATION_MODES,
}


def check(values: Values, given: Set[str]) -> None:
    """Raises where the plugin refuses the values; `given` are the keys that were set."""
    for rule in _RULES:
        rule(values, given)


def adjusted(values: Values) -> Dict[str, Any]:
    """The values after those that follow from others."""
    found = dict(values)
    if found["mix_compile_mode"]:
        found["iterations_per_loop"] = 1
    if found["graph_run_mode"] == 0:
        found["enable_small_channel"] = 1
    for name in ("customize_dtypes", "modify_mixlist"):
        found[name] = os.path.abspath(found[name]) if found[name] else ""
    if found.get("precision_mode") is None and not found.get("precision_mode_v2"):
        found["precision_mode"] = default_precision_mode(found["graph_run_mode"])
    return found


def default_precision_mode(graph_run_mode: int) -> str:
    """1.7: what holds where nothing is set; on a 910A it is never float32."""
    if not cann.since(1, 13):
        return "allow_fp32_to_fp16" if graph_run_mode == 1 else "force_fp16"
    return "allow_fp32_to_fp16" if cann.is_first_generation() else "must_keep_origin_dtype"


def _choices(values: Values, given: Set[str]) -> None:
    for name, legal in _CHOICES.items():
        if name in values and values[name] not in legal:
            raise PluginAbort(f"{name} is {values[name]!r}, not one of {legal}")


def _numbers(values: Values, given: Set[str]) -> None:
    if values["iterations_per_loop"] < 1:
        raise PluginAbort("iterations_per_loop must be at least 1")
    if values["graph_run_mode"] > 1:
        raise PluginAbort("graph_run_mode must be 0 or 1")
    if values["session_device_id"] is not None and values["session_device_id"] < 0:
        raise PluginAbort("session_device_id must be at least 0")
    if values["local_rank_id"] is not None and not 0 <= values["local_rank_id"] <= 7:
        raise PluginAbort("local_rank_id must be from 0 to 7")
    for name in ("graph_memory_max_size", "variable_memory_max_size"):
        if values[name] and not values[name].isdigit():
            raise PluginAbort(f"{name} must be a number of bytes")


def _precision(values: Values, given: Set[str]) -> None:
    mode, newer = values["precision_mode"], values.get("precision_mode_v2")
    if mode is not None and newer:
        raise error("precision_mode and precision_mode_v2 must not both be set")
    if mode is not None and mode not in PRECISION_MODES:
        if cann.since(1, 12):
            raise PluginAbort(f"precision_mode {mode!r} is not one of {PRECISION_MODES}")
        raise error(f"GE: precision_mode {mode!r} is not supported")
    if newer and newer not in PRECISION_MODES_V2:
        raise PluginAbort(f"precision_mode_v2 {newer!r} is not one of {PRECISION_MODES_V2}")
    if cann.is_first_generation() and ("bf16" in (mode or "") or "bfloat16" in (newer or "")):
        raise error(f"{mode or newer} is not supported on {cann.soc()}")


def _types_of_operations(values: Values, given: Set[str]) -> None:
    if values["modify_mixlist"]:
        if not _is_mixed(values):
            raise error("modify_mixlist is for mixed precision modes only")
        option_files.check_mixlist(values["modify_mixlist"])
    if values["customize_dtypes"]:
        option_files.check_custom_types(values["customize_dtypes"])


def _is_mixed(values: Values) -> bool:
    if not cann.since(1, 13):
        return values["precision_mode"] == "allow_mix_precision"
    return values["precision_mode"] in MIXED or values["precision_mode_v2"] in MIXED_V2


def _dump(values: Values, given: Set[str]) -> None:
    if values["enable_dump"] or values["enable_dump_debug"]:
        path = values["dump_path"]
        if not os.path.isdir(path) or not os.access(path, os.R_OK | os.W_OK):
            raise PluginAbort(f"dump_path {path!r} must be a readable and writable folder")
    steps = values["dump_step"]
    if steps and (not _STEPS.fullmatch(steps) or steps.count("|") >= LARGEST_DUMP):
        raise PluginAbort(
            f"dump_step {steps!r} is not of the form 0|5|10-20 with at most {LARGEST_DUMP} sets"
        )


def _profile(values: Values, given: Set[str]) -> None:
    text = values["profiling_options"]
    if not values["profiling_mode"] or not text:
        return
    try:
        asked = json.loads(text)
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise PluginAbort(f"profiling_options is no JSON object: {text!r}")
    for name in ("training_trace", "task_trace", "hccl", "aicpu", "msproftx"):
        if asked.get(name, "on") not in ("on", "off"):
            raise PluginAbort(f"profiling_options: {name} must be on or off")


def _dynamic_shapes(values: Values, given: Set[str]) -> None:
    mode = values["dynamic_graph_execute_mode"]
    if mode not in ("dynamic_execute", "lazy_recompile"):
        raise error(f"dynamic_graph_execute_mode {mode!r} is unknown")
    if mode == "lazy_recompile" and values["iterations_per_loop"] != 1:
        raise error("lazy_recompile needs iterations_per_loop 1")
    if values["dynamic_inputs_shape_range"] and mode != "dynamic_execute":
        raise error("dynamic_inputs_shape_range needs dynamic_execute")
    profile = [name in given for name in ("input_shape", "dynamic_dims", "dynamic_node_type")]
    if any(profile) and not all(profile):
        raise PluginAbort("input_shape, dynamic_dims and dynamic_node_type go together")
    if any(profile) and values["mix_compile_mode"]:
        raise error("mix_compile_mode can't be with dynamic shape profiles")


def _exclusions(values: Values, given: Set[str]) -> None:
    if values["enable_compress_weight"] and values["compress_weight_conf"]:
        raise PluginAbort("enable_compress_weight and compress_weight_conf exclude each other")
    if values["in_out_pair"] and not values["mix_compile_mode"]:
        raise error("in_out_pair needs mix_compile_mode")
    if values["optypelist_for_implmode"] and not values["op_select_implmode"]:
        PROCESS.log("W", "optypelist_for_implmode has no effect without op_select_implmode")


def _deprecated(values: Values, given: Set[str]) -> None:
    if values["enable_data_pre_proc"] and cann.since(1, 10):
        PROCESS.log("W", "enable_data_pre_proc is deprecated")


_RULES: List[Callable[[Values, Set[str]], None]] = [
    _choices,
    _numbers,
    _precision,
    _types_of_operations,
    _dump,
    _profile,
    _dynamic_shapes,
    _exclusions,
    _deprecated,
]
