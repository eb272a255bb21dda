"""Reads a parameter_map as the plugin does: the field of the key's type and no other (1.5)."""

from __future__ import annotations

from typing import Any, Dict

from npu_bridge.contract import option_rules
from npu_bridge.contract.failures import error
from npu_bridge.contract.keys import known_keys
from npu_bridge.contract.process import PROCESS


def find_optimizer(config: Any) -> Any:
    """The config's NpuOptimizer entry, by its exact name; None without one."""
    if config is None:
        return None
    for optimizer in config.graph_options.rewrite_options.custom_optimizers:
        if optimizer.name == "NpuOptimizer":
            return optimizer
    return None


def read_options(optimizer: Any) -> Dict[str, Any]:
    """All options with their values, the defaults included, checked against the rules.

    Raises:
        PluginAbort, InternalError: a value is illegal.
    """
    values = read_values(optimizer)
    option_rules.check(values, set(optimizer.parameter_map))
    return option_rules.adjusted(values)


def read_values(optimizer: Any) -> Dict[str, Any]:
    """The values as they are read, unchecked."""
    keys = known_keys()
    values = {name: key.default for name, key in keys.items()}
    for name, attribute in optimizer.parameter_map.items():
        if name not in keys:
            # It looks for the keys that it knows: nobody is told of another one.
            PROCESS.unknown.append(name)
            continue
        values[name] = _read(name, keys[name].field, attribute)
    return values


def _read(name: str, field: str, attribute: Any) -> Any:
    if attribute.WhichOneof("value") != field:
        if name == "jit_compile":
            raise error("jit_compile is a string: true, false or auto")
        PROCESS.misread.append(name)
    value = getattr(attribute, field)  # protobuf gives zero for a field that is not set
    return value.decode() if field == "s" else value


def is_offloaded(optimizer: Any) -> bool:
    """Whether sessions with this entry run their graphs on the NPU."""
    attributes = optimizer.parameter_map
    return attributes["use_off_line"].b if "use_off_line" in attributes else True
