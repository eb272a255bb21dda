"""The adapter's own operations, as far as they are in use."""

from __future__ import annotations

import tensorflow.compat.v1 as tf

from npu_bridge.contract.marks import mark


def initialize_system(name=None):
    """Initialises GE and HCCL when a session runs it."""
    return mark(tf.no_op(name=name or "InitializeSystem"), "initialize_system")


def shutdown_system(name=None):
    """Ends what initialize_system began."""
    return mark(tf.no_op(name=name or "ShutdownSystem"), "shutdown_system")
