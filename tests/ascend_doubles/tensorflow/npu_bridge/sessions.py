"""Sessions: what the adapter changes in them at import, what it does with graphs; GE's start.

With ASCEND_DOUBLE_DRIFT set, every rank but the first adds its number to all its variables after
they were initialised, as if it had other ones: only a broadcast of all of them mends that. Where a
report is written, it has a digest of each variable's value when a session is closed.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from typing import Any, Callable, Dict, List, Mapping, Tuple

import numpy
import tensorflow.compat.v1 as tf
from tensorflow.python.client import session as tf_session

from npu_bridge import graphs, ranks
from npu_bridge.graphs import kind_of
from npu_bridge.process import (
    KEYS,
    OF_A_SESSION,
    PROCESS,
    PluginAbort,
    error,
    find_optimizer,
    is_offloaded,
    read_options,
)

OFF = 2  # of RewriterConfig
_INITIALISER = re.compile(r"init(_\d+)?")
# Collectives block a thread each, and ranks may reach them in different orders: so there are more
# threads than collectives, with room for those that are added once the session is open.
_THREADS, _THREADS_PER_COLLECTIVE = 8, 2
_originals: List[Tuple[Any, str, Any]] = []


def install() -> None:
    """Patches TensorFlow's sessions and the configuration they get."""
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


def _with_npu_config(original: Any) -> Any:
    @functools.wraps(original)
    def start(self: Any, target: str = "", graph: Any = None, config: Any = None) -> None:
        original(self, target=target, graph=graph, config=npu_config(config))

    return start


def npu_config(config: Any = None) -> Any:
    """npu_config_proto's work: memory_optimization goes off only where the entry is new."""
    config = tf.ConfigProto() if config is None else config
    rewriter = config.graph_options.rewrite_options
    if find_optimizer(config) is None:
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
        self._npu = NpuSession(config)
        original(self, target, graph, _for_the_processor(config, graph or tf.get_default_graph()))

    return start


def _for_the_processor(config: Any, graph: Any) -> Any:
    plain = tf.ConfigProto()
    if config is not None:
        plain.CopyFrom(config)
    del plain.graph_options.rewrite_options.custom_optimizers[:]
    collectives = sum(kind_of(operation) == "hccl" for operation in graph.get_operations())
    plain.inter_op_parallelism_threads = _THREADS + _THREADS_PER_COLLECTIVE * collectives
    plain.use_per_session_threads = True
    return plain


def _running(original: Any) -> Any:
    @functools.wraps(original)
    def run(self: Any, fetches: Any, feed_dict: Any = None, *more: Any, **named: Any) -> Any:
        handler = tf_session._FetchHandler(self.graph, fetches, {})
        asked = [tensor.op for tensor in handler.fetches()] + list(handler.targets())
        times = self._npu.prepare(self.graph, asked, feed_dict or {})
        for _ in range(times - 1):
            original(self, fetches, feed_dict, *more, **named)
        values = original(self, fetches, feed_dict, *more, **named)
        begins = any(_INITIALISER.fullmatch(operation.name) for operation in asked)
        if begins and PROCESS.rank and os.environ.get("ASCEND_DOUBLE_DRIFT"):
            _drift(self, original)
        return values

    return run


def _closing(original: Any) -> Any:
    @functools.wraps(original)
    def close(self: Any) -> None:
        report = self._npu.report
        if report["open"] and report["on_npu"] and os.environ.get("ASCEND_DOUBLE_REPORT"):
            run = next(found for _, name, found in _originals if name == "run")
            report["state"] = {
                variable.name: hashlib.sha256(numpy.ascontiguousarray(value)).hexdigest()[:12]
                for variable, value in _values(self, run)
            }
        report["open"] = False
        original(self)

    return close


def _drift(session: Any, run: Any) -> None:
    moved = {
        variable.initializer: value + value.dtype.type(PROCESS.rank)
        for variable, value in _values(session, run)
        if numpy.issubdtype(value.dtype, numpy.number)
    }
    # All at once: every other set of operations costs TensorFlow a pass over the whole graph.
    run(session, list(moved), {one.inputs[1]: value for one, value in moved.items()})


def _values(session: Any, run: Any) -> List[Any]:
    """All variables with their values; [] where not all have one."""
    variables = session.graph.get_collection(tf.GraphKeys.GLOBAL_VARIABLES)
    try:
        return list(zip(variables, run(session, variables)))
    except tf.errors.FailedPreconditionError:
        return []


def _initialise(values: Mapping[str, Any], given: Any) -> None:
    """GE's start, with the first NPU session's options; later calls change nothing."""
    if PROCESS.closed:
        raise PluginAbort("the NPU runtime of this process is closed")
    wanted = {name: values[name] for name in KEYS if name not in OF_A_SESSION}
    if PROCESS.options is not None:
        changed = set(given) & set(wanted)
        ignored = {name: wanted[name] for name in changed if wanted[name] != PROCESS.options[name]}
        PROCESS.ignored += [ignored] if ignored else []
        return
    device, way = values["session_device_id"], ranks.way()
    device = int(os.environ.get("ASCEND_DEVICE_ID") or 0) if device is None else device
    PROCESS.options, PROCESS.device, PROCESS.way = wanted, device, way
    PROCESS.hf32 = os.environ.get("ENABLE_HF32_EXECUTION", "1") != "0"
    if way != "none":
        ranks.join(way, device)


class NpuSession:
    """The plugin's side of one session."""

    def __init__(self, config: Any) -> None:
        self._optimizer = find_optimizer(config)
        self._options: Dict[str, Any] = {}
        self._seen: Dict[Any, Dict[str, Any]] = {}
        self._runs, self._number = 0, len(PROCESS.sessions)
        present = self._optimizer is not None
        rewriter = config.graph_options.rewrite_options if present else None
        names = ("remapping", "memory_optimization") if present else ()
        self.report = {
            "on_npu": present and is_offloaded(self._optimizer),
            "open": True,
            "rewrites_left_on": [name for name in names if getattr(rewriter, name) != OFF],
            "state": {},
        }
        PROCESS.sessions.append(self.report)

    def prepare(self, graph: Any, asked: List[Any], feeds: Dict[Any, Any]) -> int:
        """Checks what is about to run; returns how often one run of the session runs it.

        Raises:
            PluginAbort, InternalError: options or graph break a rule.
        """
        self._runs += 1
        fed = {
            graph.as_graph_element(tensor, allow_operation=False): value
            for tensor, value in feeds.items()
        }
        operations = graphs.pruned(asked, fed)
        kinds = {kind_of(operation) for operation in operations} - {None}
        if not self.report["on_npu"]:
            if kinds - {"iterations"}:
                raise error("{} has no kernel on the host".format(", ".join(sorted(kinds))))
            return 1
        computes = graphs.is_for_the_npu(operations)
        if not computes and not kinds:
            return 1
        if not self._options:
            self._options = read_options(self._optimizer)
        _initialise(self._options, self._optimizer.parameter_map)
        if "hccl" in kinds and PROCESS.collective is None:
            raise error("HCCL is not initialised in this process")
        if computes:
            self._compile(operations, asked, fed)
        return self._iterations(operations)

    def _compile(self, operations: List[Any], asked: List[Any], fed: Dict[Any, Any]) -> None:
        """Another graph, set of fetches or shape is compiled anew, and told in a line."""
        names = tuple(sorted({operation.name for operation in asked}))
        shapes = tuple(sorted((tensor.name, numpy.shape(value)) for tensor, value in fed.items()))
        key = (id(operations[0].graph), names, shapes)
        if key not in self._seen:
            on_host = self._options["mix_compile_mode"]
            found = [] if on_host else graphs.offences(operations, fed)
            if found:
                told = "GE: the NPU can't compile this graph without mix_compile_mode: "
                raise error(told + "; ".join(found[:5]))
            graph = {"session": self._number, "fetches": names[:3], "first": self._runs, "runs": 0}
            PROCESS.graphs.append(graph)
            self._seen[key] = graph
            PROCESS.tell_compiled()
        self._seen[key].update(last=self._runs, runs=self._seen[key]["runs"] + 1)

    def _iterations(self, operations: List[Any]) -> int:
        wanted = int(self._options["iterations_per_loop"])
        if wanted != 1 and any(operation.type == "OneShotIterator" for operation in operations):
            raise PluginAbort(f"iterations_per_loop is {wanted}: a OneShotIterator can't be sunk")
        given = {graphs.LOOPS[one.name] for one in operations if kind_of(one) == "iterations"}
        if given and given != {wanted}:
            raise error(f"iterations_per_loop is {wanted}, not that of the graph: {given}")
        if not given or wanted == 1:
            return 1
        if not self._options["enable_data_pre_proc"]:
            raise error("iterations_per_loop above 1 needs enable_data_pre_proc")
        return wanted
