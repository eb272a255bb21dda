"""What one process has of the plugin and what tests may look at; its options; how it fails."""

from __future__ import annotations

import atexit
import json
import os
import sys
from typing import Any, Dict, List, Optional

import tensorflow.compat.v1 as tf

_SHOWN = "device way rank size options ignored misread unknown sessions graphs closed hf32"
# The keys of the adapter's documents that a program of the zoo gives: field and default.
KEYS: Dict[str, Any] = {
    "use_off_line": ("b", True),
    "mix_compile_mode": ("b", False),
    "iterations_per_loop": ("i", 1),
    "enable_data_pre_proc": ("b", False),
    "graph_run_mode": ("i", 1),
    "precision_mode": ("s", None),
    "modify_mixlist": ("s", ""),
    "customize_dtypes": ("s", ""),
    "hcom_parallel": ("b", True),
    "session_device_id": ("i", None),
    "enable_dump": ("b", False),
    "enable_dump_debug": ("b", False),
    "dump_path": ("s", ""),
    "dump_step": ("s", ""),
    "dump_mode": ("s", "output"),
    "dump_debug_mode": ("s", "all"),
    "profiling_mode": ("b", False),
    "profiling_options": ("s", ""),
    "aoe_mode": ("s", ""),
    "work_path": ("s", "./"),
}
OF_A_SESSION = ("use_off_line", "mix_compile_mode", "iterations_per_loop", "enable_data_pre_proc")
MODES = (
    "force_fp32",
    "cube_fp16in_fp32out",
    "must_keep_origin_dtype",
    "allow_fp32_to_fp16",
    "allow_fp32_to_bf16",
    "force_fp16",
    "allow_mix_precision",
    "allow_mix_precision_fp16",
    "allow_mix_precision_bf16",
)


class PluginAbort(BaseException):
    """The plugin logs FATAL, which ends the process: no `except Exception` may catch it."""


def error(message: str) -> Any:
    """What a session raises where the plugin, GE or HCCL returns an error."""
    return tf.errors.InternalError(None, None, message)


def is_first_generation() -> bool:
    """The 910A, without bfloat16 and without INF and NaN."""
    return os.environ.get("ASCEND_DOUBLE_SOC", "Ascend910A") == "Ascend910A"


class Process:
    """The state that GE keeps for a process.

    Attributes:
        options: those in force that hold once; None before the first NPU session.
        ignored: such options of later sessions that differ and have no effect.
        misread: keys whose value was in another type's field, so that zero was read.
        unknown: keys that the plugin never reads.
        sessions: one dictionary per session: on_npu, rewrites_left_on, open.
        graphs: one dictionary per compiled graph: session, how often it was run, and the session's
            first and last run that was of it.
        device, way, rank, size: the device; "none", "table" or "cm"; this rank; number of ranks.
        hf32: whether convolutions would be computed in HF32; None before the first NPU session.
    """

    def __init__(self) -> None:
        self.options: Optional[Dict[str, Any]] = None
        self.ignored: List[Dict[str, Any]] = []
        self.misread: List[str] = []
        self.unknown: List[str] = []
        self.sessions: List[Dict[str, Any]] = []
        self.graphs: List[Dict[str, Any]] = []
        self.device, self.way, self.rank, self.size = 0, "none", 0, 1
        self.collective: Any = None
        self.closed = False
        self.hf32: Optional[bool] = None

    def tell_compiled(self) -> None:
        """Writes the line of information as TensorFlow's C++ does."""
        if int(os.environ.get("TF_CPP_MIN_LOG_LEVEL") or 0) == 0:
            sys.stderr.flush()
            line = "The model has been compiled on the Ascend AI processor, current graph id is: "
            os.write(2, f"I geop_npu.cc:1] [GEOP] {line}{len(self.graphs)}\n".encode())

    def close(self) -> None:
        """Closes the runtime at exit."""
        self.closed = True
        folder = os.environ.get("ASCEND_DOUBLE_REPORT")
        if folder:
            shown = {name: getattr(self, name) for name in _SHOWN.split()}
            with open(os.path.join(folder, f"process_{os.getpid()}.json"), "w") as file:
                json.dump(shown, file, default=str)


PROCESS = Process()
atexit.register(PROCESS.close)


# --- the NpuOptimizer's parameter_map: which keys and fields are read, and what can't be ---


def find_optimizer(config: Any) -> Any:
    """The config's NpuOptimizer entry, by its exact name; None without one."""
    optimizers = () if config is None else config.graph_options.rewrite_options.custom_optimizers
    return next((one for one in optimizers if one.name == "NpuOptimizer"), None)


def is_offloaded(optimizer: Any) -> bool:
    """Whether sessions with this entry run their graphs on the NPU."""
    attributes = optimizer.parameter_map
    return attributes["use_off_line"].b if "use_off_line" in attributes else True


def read_options(optimizer: Any) -> Dict[str, Any]:
    """All options with their values, the defaults included.

    Raises:
        PluginAbort, InternalError: a value is illegal.
    """
    values = {name: default for name, (_, default) in KEYS.items()}
    for name, attribute in optimizer.parameter_map.items():
        if name not in KEYS:
            PROCESS.unknown.append(name)  # it looks for the keys that it knows: nobody is told
            continue
        field = KEYS[name][0]
        if attribute.WhichOneof("value") != field:
            PROCESS.misread.append(name)
        value = getattr(attribute, field)  # protobuf gives zero for a field that is not set
        values[name] = value.decode() if field == "s" else value
    if values["precision_mode"] not in (None, *MODES):
        raise PluginAbort(f"precision_mode is {values['precision_mode']!r}, not one of {MODES}")
    dumps = values["enable_dump"] or values["enable_dump_debug"]
    if dumps and not os.path.isdir(values["dump_path"]):
        raise PluginAbort("dump_path {dump_path!r} must be a folder".format(**values))
    if values["mix_compile_mode"]:
        values["iterations_per_loop"] = 1
    if values["precision_mode"] is None:
        values["precision_mode"] = (
            "allow_fp32_to_fp16" if is_first_generation() else "must_keep_origin_dtype"
        )
    for name in ("customize_dtypes", "modify_mixlist"):  # looked for where the process is
        values[name] = os.path.abspath(values[name]) if values[name] else ""
        if values[name] and not os.path.isfile(values[name]):
            raise error(f"{name}: {values[name]} does not exist")
    return values
