"""The keys of the NpuOptimizer's parameter_map: type, default and scope (1.6)."""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Tuple

from npu_bridge.contract import cann


class Key(NamedTuple):
    """A key's field ("b", "i" or "s"), its default, and whether GE takes it once."""

    field: str
    default: Any
    init_scope: bool


ZERO = {"b": False, "i": 0, "s": ""}

# What each session has of its own; everything else is read by the first NPU session.
_OF_SESSION: Dict[str, Tuple[str, Any]] = {
    "use_off_line": ("b", True),
    "mix_compile_mode": ("b", False),
    "iterations_per_loop": ("i", 1),
    "enable_data_pre_proc": ("b", False),
    "lower_functional_ops": ("b", False),
    "dynamic_input": ("b", False),
    "dynamic_graph_execute_mode": ("s", "dynamic_execute"),
    "dynamic_inputs_shape_range": ("s", ""),
    "input_shape": ("s", ""),
    "dynamic_dims": ("s", ""),
    "dynamic_node_type": ("i", None),
    "job": ("s", "localhost"),
    "task_index": ("i", 0),
    "local_rank_id": ("i", None),
    "local_device_list": ("s", ""),
    "in_out_pair_flag": ("b", True),
    "in_out_pair": ("s", ""),
    "variable_format_optimize": ("b", False),
}
_OF_PROCESS: Dict[str, Tuple[str, Any]] = {
    "graph_run_mode": ("i", 1),
    "precision_mode": ("s", None),
    "modify_mixlist": ("s", ""),
    "customize_dtypes": ("s", ""),
    "op_select_implmode": ("s", ""),
    "optypelist_for_implmode": ("s", ""),
    "op_precision_mode": ("s", ""),
    "hcom_multi_mode": ("b", False),
    "deterministic": ("i", 0),
    "external_weight": ("b", False),
    "frozen_variable": ("b", False),
    "variable_placement": ("s", "Device"),
    "session_device_id": ("i", None),
    "fusion_switch_file": ("s", ""),
    "buffer_optimize": ("s", "l2_optimize"),
    "enable_small_channel": ("i", 0),
    "op_compiler_cache_mode": ("s", ""),
    "op_compiler_cache_dir": ("s", ""),
    "debug_dir": ("s", ""),
    "graph_memory_max_size": ("s", ""),
    "variable_memory_max_size": ("s", ""),
    "static_memory_policy": ("i", None),
    "atomic_clean_policy": ("i", 0),
    "memory_optimization_policy": ("s", ""),
    "topo_sorting_mode": ("i", None),
    "stream_max_parallel_num": ("s", ""),
    "is_tailing_optimization": ("b", False),
    "ac_parallel_enable": ("s", ""),
    "enable_compress_weight": ("b", False),
    "compress_weight_conf": ("s", ""),
    "insert_op_file": ("s", ""),
    "enable_dump": ("b", False),
    "enable_dump_debug": ("b", False),
    "dump_path": ("s", ""),
    "dump_step": ("s", ""),
    "dump_mode": ("s", "output"),
    "dump_debug_mode": ("s", "all"),
    "dump_data": ("s", ""),
    "dump_layer": ("s", ""),
    "enable_exception_dump": ("i", 2),
    "profiling_mode": ("b", False),
    "profiling_options": ("s", ""),
    "op_debug_level": ("i", 0),
    "op_debug_config": ("s", ""),
    "aoe_mode": ("s", ""),
    "work_path": ("s", "./"),
    "aoe_config_file": ("s", ""),
    "distribute_config": ("s", ""),
    "hccl_timeout": ("i", None),
    "op_wait_timeout": ("i", None),
    "op_execute_timeout": ("i", None),
    "graph_exec_timeout": ("i", 600000),
    "stream_sync_timeout": ("i", -1),
    "event_sync_timeout": ("i", -1),
    "HCCL_algorithm": ("s", ""),
    "es_cluster_config": ("s", ""),
    "enable_graph_parallel": ("b", False),
    "graph_parallel_option_path": ("s", ""),
    "resource_config_path": ("s", ""),
    "enable_scope_fusion_passes": ("s", ""),
    "device_type": ("s", ""),
    "soc_config": ("s", ""),
    "graph_compiler_cache_dir": ("s", ""),
    "graph_slice": ("s", ""),
}


def known_keys() -> Dict[str, Key]:
    """The keys that this release of the plugin reads."""
    keys = {name: Key(*entry, init_scope=False) for name, entry in _OF_SESSION.items()}
    keys.update({name: Key(*entry, init_scope=True) for name, entry in _OF_PROCESS.items()})
    keys["hcom_parallel"] = Key("b", cann.since(1, 10), True)
    if cann.since(1, 13):
        keys["precision_mode_v2"] = Key("s", None, True)
        keys["jit_compile"] = Key("s", "auto", True)
    return keys
