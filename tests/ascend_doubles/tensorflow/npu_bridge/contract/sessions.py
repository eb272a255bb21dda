"""Sessions: what the adapter changes in them at import (1.3), what it does with graphs."""

from __future__ import annotations

import functools
from typing import Any, Callable, Dict, List, Tuple

import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf import rewriter_config_pb2
from tensorflow.python.client import session as tf_session

from npu_bridge.contract import cann, ge, graph_rules, parameter_map, state
from npu_bridge.contract.failures import PluginAbort, error
from npu_bridge.contract.marks import kind_of, number_of
from npu_bridge.contract.process import PROCESS

OFF = rewriter_config_pb2.RewriterConfig.OFF
# Collectives block a thread each, and ranks may reach them in different orders: so there are more
# threads than collectives, with room for those that are added once the session is open.
_THREADS, _THREADS_PER_COLLECTIVE = 8, 2
_originals: List[Tuple[Any, str, Any]] = []


def install() -> None:
    """Patches TensorFlow's sessions; from r1.9 on also what configuration they get."""
    if _originals:
        return
    if cann.since(1, 9):
        _wrap(tf_session.Session, "__init__", _with_npu_config)
        _wrap(tf_session.InteractiveSession, "__init__", _with_npu_config)
    for name, wrapper in (("__init__", _opening), ("run", _running), ("close", _closing)):
        _wrap(tf_session.BaseSession, name, wrapper)


def uninstall() -> None:
    """Gives TensorFlow its own sessions back."""
    while _originals:
        owner, name, original = _originals.pop()
        if original is None:
            delattr(owner, name)
        else:
            setattr(owner, name, original)


def _wrap(owner: Any, name: str, wrapper: Callable[[Any], Any]) -> None:
    _originals.append((owner, name, vars(owner).get(name)))
    setattr(owner, name, wrapper(getattr(owner, name)))


def _original_run() -> Any:
    return next(original for owner, name, original in _originals if name == "run")


def _with_npu_config(original: Any) -> Any:
    @functools.wraps(original)
    def start(self: Any, target: str = "", graph: Any = None, config: Any = None) -> None:
        self._npu_added_by_user = parameter_map.find_optimizer(config) is not None
        original(self, target=target, graph=graph, config=npu_config(config))

    return start


def npu_config(config: Any = None) -> Any:
    """npu_config_proto's work: memory_optimization goes off only where the entry is new (1.4)."""
    config = tf.ConfigProto() if config is None else config
    rewriter = config.graph_options.rewrite_options
    if parameter_map.find_optimizer(config) is None:
        rewriter.custom_optimizers.add().name = "NpuOptimizer"
        rewriter.memory_optimization = OFF
    rewriter.remapping = OFF
    config.allow_soft_placement = True
    config.log_device_placement = False
    config.graph_options.optimizer_options.global_jit_level = tf.OptimizerOptions.OFF
    return config


def _opening(original: Any) -> Any:
    @functools.wraps(original)
    def start(self: Any, target: str = "", graph: Any = None, config: Any = None) -> None:
        self._npu = NpuSession(config, getattr(self, "_npu_added_by_user", None))
        original(self, target, graph, _for_the_processor(config, graph or tf.get_default_graph()))

    return start


def _for_the_processor(config: Any, graph: Any) -> Any:
    plain = tf.ConfigProto()
    if config is not None:
        plain.CopyFrom(config)
    rewriter = plain.graph_options.rewrite_options
    others = [one for one in rewriter.custom_optimizers if one.name != "NpuOptimizer"]
    del rewriter.custom_optimizers[:]
    rewriter.custom_optimizers.extend(others)
    collectives = sum(kind_of(operation) == "hccl" for operation in graph.get_operations())
    plain.inter_op_parallelism_threads = _THREADS + _THREADS_PER_COLLECTIVE * collectives
    plain.use_per_session_threads = True
    return plain


def _running(original: Any) -> Any:
    @functools.wraps(original)
    def run(self: Any, fetches: Any, feed_dict: Any = None, *more: Any, **named: Any) -> Any:
        feeds = feed_dict or {}
        handler = tf_session._FetchHandler(self.graph, fetches, {})
        asked = [tensor.op for tensor in handler.fetches()] + list(handler.targets())
        times = self._npu.prepare(self.graph, asked, feeds)
        for _ in range(times - 1):
            original(self, fetches, feed_dict, *more, **named)
        values = original(self, fetches, feed_dict, *more, **named)
        state.drift(self, original, asked)
        return values

    return run


def _closing(original: Any) -> Any:
    @functools.wraps(original)
    def close(self: Any) -> None:
        if self._npu.report["open"] and self._npu.report["on_npu"]:
            self._npu.report["state"] = state.digests(self, _original_run())
        self._npu.report["open"] = False
        original(self)

    return close


class NpuSession:
    """The plugin's side of one session."""

    def __init__(self, config: Any, added_by_user: Any) -> None:
        self._optimizer = parameter_map.find_optimizer(config)
        self._options: Dict[str, Any] = {}
        self._seen: Dict[Any, Dict[str, Any]] = {}
        self._runs = 0
        present = self._optimizer is not None
        self.report = {
            "on_npu": present and parameter_map.is_offloaded(self._optimizer),
            "open": True,
            "added_by_user": present if added_by_user is None else added_by_user,
            "rewrites_left_on": _rewrites_left_on(config) if present else [],
        }
        self._number = len(PROCESS.sessions)
        PROCESS.sessions.append(self.report)

    def prepare(self, graph: Any, asked: List[Any], feeds: Dict[Any, Any]) -> int:
        """Checks what is about to run; returns how often one run of the session runs it.

        Raises:
            PluginAbort, InternalError: options or graph break a rule.
        """
        self._runs += 1
        fed = [
            graph.as_graph_element(tensor, allow_operation=False)
            for tensor in feeds
            if not isinstance(tensor, tf.SparseTensor)
        ]
        operations = graph_rules.pruned(asked, fed)
        kinds = {kind_of(operation) for operation in operations} - {None}
        if not self.report["on_npu"]:
            _refuse_on_host(kinds)
            return 1
        if not graph_rules.is_for_the_npu(operations) and not kinds:
            return 1
        self._open(kinds)
        self._compile(operations, asked, fed, feeds)
        return self._iterations(operations)

    def _open(self, kinds: Any) -> None:
        ge.require_runtime()
        if not self._options:
            self._options = parameter_map.read_options(self._optimizer)
            ge.initialise(self._options, list(self._optimizer.parameter_map))
        if "hccl" in kinds and PROCESS.collective is None:
            raise error("HCCL is not initialised in this process")

    def _compile(
        self, operations: List[Any], asked: List[Any], fed: List[Any], feeds: Dict[Any, Any]
    ) -> None:
        names = tuple(sorted({operation.name for operation in asked}))
        key = (id(operations[0].graph), names, _shapes(fed, feeds))
        if not graph_rules.is_for_the_npu(operations):
            return
        if key not in self._seen:
            self._check(operations, fed)
            self._seen[key] = ge.compiled(self._number, names[:3], self._runs)
        self._seen[key].update(last=self._runs, runs=self._seen[key]["runs"] + 1)

    def _check(self, operations: List[Any], fed: List[Any]) -> None:
        dynamic = self._options["mix_compile_mode"] or self._options["dynamic_input"]
        found = [] if dynamic else graph_rules.offences(operations, fed)
        if found:
            raise error(
                "GE: the NPU can't compile this graph without mix_compile_mode: {}".format(
                    "; ".join(found[:5])
                )
            )

    def _iterations(self, operations: List[Any]) -> int:
        wanted = int(self._options["iterations_per_loop"])
        if wanted != 1 and any(operation.type == "OneShotIterator" for operation in operations):
            raise PluginAbort(f"iterations_per_loop is {wanted}: a OneShotIterator can't be sunk")
        given = {
            number_of(operation) for operation in operations if kind_of(operation) == "iterations"
        }
        if given and given != {wanted}:
            raise error(
                f"iterations_per_loop is {wanted}, but set_iteration_per_loop was given "
                f"{sorted(given)}"
            )
        if not given or wanted == 1:
            return 1
        if not self._options["enable_data_pre_proc"]:
            raise error("iterations_per_loop above 1 needs enable_data_pre_proc")
        return wanted


def _rewrites_left_on(config: Any) -> List[str]:
    rewriter = config.graph_options.rewrite_options
    return [name for name in ("remapping", "memory_optimization") if getattr(rewriter, name) != OFF]


def _refuse_on_host(kinds: Any) -> None:
    if kinds & {"hccl", "initialize_system", "shutdown_system"}:
        raise error("{} has no kernel on the host".format(", ".join(sorted(kinds))))


def _shapes(fed: List[Any], feeds: Dict[Any, Any]) -> Any:
    import numpy

    return tuple(
        sorted((tensor.name, numpy.shape(value)) for tensor, value in zip(fed, feeds.values()))
    )
