"""The two ways in which the plugin fails."""

from __future__ import annotations

from typing import Any

import tensorflow.compat.v1 as tf


class PluginAbort(BaseException):
    """The plugin logs FATAL, which ends the process: no `except Exception` may catch it."""


def error(message: str) -> Any:
    """What a session raises where the plugin, GE or HCCL returns an error."""
    return tf.errors.InternalError(None, None, message)
