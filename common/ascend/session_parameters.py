"""The parameters of npu_bridge's NpuOptimizer, as plain values."""

from __future__ import annotations

import json
import os
from typing import Dict, Mapping, Union

from common.ascend.session_options import NpuOptions

Value = Union[bool, int, str]
TUNE_OPERATORS = "2"


def session_parameters(
    options: NpuOptions,
    precision_mode: str,
    device_index: int,
    world_size: int,
    environment: Mapping[str, str],
) -> Dict[str, Value]:
    """All parameters of a process's sessions.

    The type of a value says in which field it has to be put: bool in b, int in i, str in s.

    Args:
        precision_mode: always given; unset would mean float16 on an Ascend 910A.
        device_index: the logical number of the device on this machine.
        environment: this process's variables.
    """
    parameters: Dict[str, Value] = {
        "use_off_line": True,
        "mix_compile_mode": options.mix_compile_mode,
        "graph_run_mode": 1,
        "precision_mode": precision_mode,
    }
    if environment.get("ASCEND_DEVICE_ID") != str(device_index):
        parameters["session_device_id"] = device_index
    if world_size > 1:
        parameters["hcom_parallel"] = True
    if options.iterations_per_loop > 1:
        # The device loops only over a dataset whose next element is fetched in the graph.
        parameters.update(
            iterations_per_loop=options.iterations_per_loop, enable_data_pre_proc=True
        )
    parameters.update(_files(options))
    parameters.update(_profiling(options))
    parameters.update(_dump(options))
    parameters.update(_tuning(options))
    return parameters


def _files(options: NpuOptions) -> Dict[str, Value]:
    given = {"customize_dtypes": options.customize_dtypes, "modify_mixlist": options.modify_mixlist}
    # A relative path would be looked for in the folder that the process runs in.
    return {name: os.path.abspath(path) for name, path in given.items() if path}


def _profiling(options: NpuOptions) -> Dict[str, Value]:
    if not options.profiling_folder:
        return {}
    choices = {
        "output": os.path.abspath(options.profiling_folder),
        "task_trace": "on",
        "training_trace": "on",
        "fp_point": "",
        "bp_point": "",
        "aic_metrics": "PipeUtilization",
    }
    return {"profiling_mode": True, "profiling_options": json.dumps(choices)}


def _dump(options: NpuOptions) -> Dict[str, Value]:
    if options.overflow_dump_folder:
        return {
            "enable_dump_debug": True,
            "dump_debug_mode": "all",
            "dump_path": os.path.abspath(options.overflow_dump_folder),
        }
    if options.data_dump_folder:
        return {
            "enable_dump": True,
            "dump_mode": "all",
            "dump_step": options.data_dump_step,
            "dump_path": os.path.abspath(options.data_dump_folder),
        }
    return {}


def _tuning(options: NpuOptions) -> Dict[str, Value]:
    if not options.autotune_folder:
        return {}
    return {"aoe_mode": TUNE_OPERATORS, "work_path": os.path.abspath(options.autotune_folder)}
