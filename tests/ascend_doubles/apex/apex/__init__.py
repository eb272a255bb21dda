"""Double of Ascend's apex; ASCEND_DOUBLE_APEX=nvidia makes it NVIDIA's, which the registry has."""

__version__ = "0.1+ascend"

from apex import amp, optimizers  # noqa: E402, F401
