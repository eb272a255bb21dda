"""The NpuOptimizer's parameter_map: which keys and fields are read, and what can't be.

That the product gives legal values is tested where it makes them (tests/test_npu_options.py).
"""

from __future__ import annotations

import os
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
    mode, dumps = values["precision_mode"], values["enable_dump"] or values["enable_dump_debug"]
    if mode not in (None, *PRECISION_MODES):
        raise PluginAbort(f"precision_mode is {mode!r}, not one of {PRECISION_MODES}")
    if dumps and not os.access(values["dump_path"], os.R_OK | os.W_OK | os.X_OK):
        raise PluginAbort("dump_path {dump_path!r} must be a folder".format(**values))
    if is_first_generation() and "bf16" in (mode or ""):
        raise error(f"{mode} is not supported on this chip")
    if values["modify_mixlist"] and mode not in MIXED:
        raise error("modify_mixlist is for mixed precision modes only")
    for name in ("modify_mixlist", "customize_dtypes"):
        if values[name] and not os.path.isfile(values[name]):  # looked for where the process is
            raise error(f"{name}: {values[name]} does not exist")
