"""What a run asks of the NPU session beside its precision, and its NpuOptimizer's parameters."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Dict, Mapping, Union


@dataclass(frozen=True)
class NpuOptions:
    """Choices that hold for every session of a process: the first one fixes them.

    Attributes:
        mix_compile_mode: operations that the NPU lacks run on the host, in the same graph.
        customize_dtypes, modify_mixlist: files that pin operations' types; "" for none.
        iterations_per_loop: training steps that one run of the session makes.
        profiling_folder: where the device writes its profile; "" for none.
        data_dump_folder, data_dump_step: where operations' inputs and outputs are written, at
            which steps, such as "0|5|10-20".
        overflow_dump_folder: where operations that overflow are written.
        autotune_folder: where the tuner of operations works; "" tunes nothing.
    """

    mix_compile_mode: bool = False
    customize_dtypes: str = ""
    modify_mixlist: str = ""
    iterations_per_loop: int = 1
    profiling_folder: str = ""
    data_dump_folder: str = ""
    data_dump_step: str = ""
    overflow_dump_folder: str = ""
    autotune_folder: str = ""


PLAIN = NpuOptions()
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
    if options.profiling_folder:
        choices = {
            "output": os.path.abspath(options.profiling_folder),
            "task_trace": "on",
            "training_trace": "on",
            "fp_point": "",
            "bp_point": "",
            "aic_metrics": "PipeUtilization",
        }
        parameters.update(profiling_mode=True, profiling_options=json.dumps(choices))
    if options.overflow_dump_folder:
        parameters.update(enable_dump_debug=True, dump_debug_mode="all")
    elif options.data_dump_folder:
        parameters.update(enable_dump=True, dump_mode="all", dump_step=options.data_dump_step)
    if options.autotune_folder:
        parameters["aoe_mode"] = TUNE_OPERATORS
    paths = {
        "customize_dtypes": options.customize_dtypes,
        "modify_mixlist": options.modify_mixlist,
        "dump_path": options.overflow_dump_folder or options.data_dump_folder,
        "work_path": options.autotune_folder,
    }
    # A relative path would be looked for where the process runs.
    return {**parameters, **{name: os.path.abspath(one) for name, one in paths.items() if one}}
