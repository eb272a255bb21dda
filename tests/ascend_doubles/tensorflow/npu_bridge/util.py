"""Rank size and iterations per loop."""

from __future__ import annotations

import os

import tensorflow.compat.v1 as tf

from npu_bridge import graphs


def get_ranksize():
    """RANK_SIZE or CM_WORKER_SIZE as text, "1" without both; ValueError where both are set."""
    if "RANK_SIZE" in os.environ and "CM_WORKER_SIZE" in os.environ:
        raise ValueError("RANK_SIZE and CM_WORKER_SIZE must not both be set")
    return os.environ.get("RANK_SIZE") or os.environ.get("CM_WORKER_SIZE") or "1"


def set_iteration_per_loop(sess, train_op, iterations_per_loop=1):
    """Makes one run of the session that many steps; returns the group to run."""
    with train_op.graph.as_default():
        grouped = graphs.mark(tf.group(train_op, name="IterationOp"), "iterations")
    graphs.LOOPS[grouped.name] = iterations_per_loop
    return grouped
