"""Initialises GE without a session."""

from __future__ import annotations

from npu_bridge.contract import ge, option_rules
from npu_bridge.contract.keys import known_keys
from npu_bridge.contract.process import PROCESS


def npu_resource_init(
    graph_run_mode=1,
    op_debug_level=0,
    enable_profiling=False,
    profiling_options=None,
    precision_mode=None,
    enable_scope_fusion_passes=None,
    enable_exception_dump=2,
    aoe_mode=None,
    work_path=None,
    op_compiler_cache_mode=None,
    op_compiler_cache_dir=None,
    debug_dir=None,
    hcom_multi_mode=False,
    distribute_config=None,
    aoe_config_file=None,
    precision_mode_v2=None,
):
    """Takes init-scope options for the process, as a first session would."""
    given = {
        "graph_run_mode": graph_run_mode,
        "op_debug_level": op_debug_level,
        "profiling_mode": enable_profiling,
        "profiling_options": profiling_options,
        "precision_mode": precision_mode,
        "aoe_mode": aoe_mode,
        "work_path": work_path,
        "enable_scope_fusion_passes": enable_scope_fusion_passes,
        "enable_exception_dump": enable_exception_dump,
        "debug_dir": debug_dir,
        "op_compiler_cache_mode": op_compiler_cache_mode,
        "op_compiler_cache_dir": op_compiler_cache_dir,
        "hcom_multi_mode": hcom_multi_mode,
        "distribute_config": distribute_config,
        "aoe_config_file": aoe_config_file,
        "precision_mode_v2": precision_mode_v2,
    }
    given = {name: value for name, value in given.items() if value is not None}
    values = dict({name: key.default for name, key in known_keys().items()}, **given)
    option_rules.check(values, set(given))
    ge.initialise(option_rules.adjusted(values), given)


def npu_resource_shutdown():
    """Closes the runtime."""
    PROCESS.close()
