"""Rank size, iterations per loop, and the dictionary that init_resource fills (1.4, 1.10)."""

from __future__ import annotations

import os

import tensorflow.compat.v1 as tf

from npu_bridge.contract import cann
from npu_bridge.contract.marks import mark, set_number

if cann.since(1, 11):

    def get_ranksize():
        """RANK_SIZE or CM_WORKER_SIZE as text, "1" without both.

        Raises:
            ValueError: both are set.
        """
        if "RANK_SIZE" in os.environ and "CM_WORKER_SIZE" in os.environ:
            raise ValueError("RANK_SIZE and CM_WORKER_SIZE must not both be set")
        return os.environ.get("RANK_SIZE") or os.environ.get("CM_WORKER_SIZE") or "1"


def rank_size_of_the_environment():
    """What the distributed optimizer decides by: only the environment, at this moment."""
    return int(get_ranksize() if cann.since(1, 11) else os.environ.get("RANK_SIZE") or "1")


def global_dict_init():
    """Makes the dictionary; before this it does not exist."""
    global _global_dict
    _global_dict = {}


def set_value(key, value):
    """Stores a value."""
    _global_dict[key] = value


def get_value(key, default=None):
    """A stored value; NameError before global_dict_init."""
    return _global_dict.get(key, default)


def set_iteration_per_loop(sess, train_op, iterations_per_loop=1):
    """Makes one run of the session that many steps; returns the group to run."""
    loop = IterationPerLoop()
    grouped = loop.create_iteration_per_loop_var(train_op)
    loop.load_iteration_per_loop_var(sess, iterations_per_loop)
    return grouped


class IterationPerLoop:
    """The two halves of set_iteration_per_loop, for graphs that are finalized in between."""

    def create_iteration_per_loop_var(self, train_op):
        """Adds the group called IterationOp to the graph."""
        with train_op.graph.as_default():
            self._operation = tf.group(train_op, name="IterationOp")
        return mark(self._operation, "iterations")

    def load_iteration_per_loop_var(self, sess, iterations_per_loop=1):
        """Sets the number of steps, in the session that runs them."""
        if iterations_per_loop < 1:
            raise ValueError("iterations_per_loop must be at least 1")
        if sess.graph is not self._operation.graph:
            raise ValueError("the session is of another graph")
        set_number(self._operation, iterations_per_loop)
