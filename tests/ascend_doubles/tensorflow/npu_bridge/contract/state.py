"""What tests of several ranks need: ranks that begin apart, and what each has at the end.

With ASCEND_DOUBLE_DRIFT set, every rank but the first adds its number to all its variables after
they were initialised, as if it had other ones: only a broadcast of all of them mends that. Where a
report is written, it has a digest of each variable's value when a session is closed.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any, Dict, List

import numpy
import tensorflow.compat.v1 as tf

from npu_bridge.contract.process import PROCESS

_INITIALISER = re.compile(r"init(_\d+)?")


def drift(session: Any, run: Any, asked: Any) -> None:
    """Moves this rank's variables away from the first rank's, where `asked` initialised them."""
    if (
        not os.environ.get("ASCEND_DOUBLE_DRIFT")
        or PROCESS.rank == 0
        or not any(_INITIALISER.fullmatch(operation.name) for operation in asked)
    ):
        return
    moved = [
        (variable.initializer, value + value.dtype.type(PROCESS.rank))
        for variable, value in _values(session, run)
        if numpy.issubdtype(value.dtype, numpy.number)
    ]
    # All at once: every other set of operations costs TensorFlow a pass over the whole graph.
    run(
        session,
        [initializer for initializer, _ in moved],
        {initializer.inputs[1]: value for initializer, value in moved},
    )


def digests(session: Any, run: Any) -> Dict[str, str]:
    """Each variable's value in few letters; {} where no report is asked for."""
    if not os.environ.get("ASCEND_DOUBLE_REPORT"):
        return {}
    return {
        variable.name: hashlib.sha256(numpy.ascontiguousarray(value).tobytes()).hexdigest()[:12]
        for variable, value in _values(session, run)
    }


def _values(session: Any, run: Any) -> List[Any]:
    """All variables with their values; [] where not all have one."""
    variables = _variables(session)
    try:
        return list(zip(variables, run(session, variables)))
    except tf.errors.FailedPreconditionError:
        return []


def _variables(session: Any) -> List[Any]:
    return list(session.graph.get_collection(tf.GraphKeys.GLOBAL_VARIABLES))
