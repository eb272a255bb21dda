"""Double of Ascend's apex; ASCEND_DOUBLE_APEX=nvidia makes it NVIDIA's, which the registry has."""

import os

IS_ASCEND = os.environ.get("ASCEND_DOUBLE_APEX", "ascend") == "ascend"
__version__ = "0.1+ascend" if IS_ASCEND else "0.1"

from apex import amp, optimizers  # noqa: E402, F401
