"""Traced runs of a session: the proof of where it computed, and a timeline of one step."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, Tuple

from common.core.errors import ZooError
from common.core.files import write_atomically
from common.training.tensorflow.runtime import TensorFlowDevice, tf


def proof(device: TensorFlowDevice, session: Any, fetches: Any) -> str:
    """Says where a traced run of `fetches` computed, for the record.

    On an NPU nothing is run: it would compile another graph; npu_bridge's own INFO lines tell.

    Raises:
        ZooError: nothing of it ran on the asked-for device.
    """
    if device.kind == "npu":
        return f"NpuOptimizer with use_off_line in the session ({device.name})"
    counts: Dict[str, int] = {}
    for part in _traced(session, fetches)[1].step_stats.dev_stats:
        name = re.sub(r".*/device:", "", part.device)
        if ":" in name and "/" not in name:  # streams and memory copies are counted already
            counts[name] = counts.get(name, 0) + len(part.node_stats)
    mine = sum(count for name, count in counts.items() if device.kind in name.lower())
    total = sum(counts.values())
    if mine == 0:
        raise ZooError(
            f"none of {total} traced operations ran on the asked-for {device.kind}, but on "
            f"{', '.join(counts)}; see TensorFlow's log for why"
        )
    return f"{mine} of {total} traced operations of a forward pass on {device.kind} ({device.name})"


def _traced(session: Any, fetches: Any) -> Tuple[Any, Any]:
    metadata = tf.RunMetadata()
    options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
    return session.run(fetches, options=options, run_metadata=metadata), metadata


def run_with_timeline(session: Any, fetches: Any, path: Path) -> Any:
    """Runs `fetches` once, traced, and writes a Chrome trace to `path`; returns the values."""
    from tensorflow.python.client import timeline

    values, metadata = _traced(session, fetches)
    trace = timeline.Timeline(metadata.step_stats).generate_chrome_trace_format()
    write_atomically(path, trace)
    return values
