"""The machine that the double pretends to be on: its chip, its devices, whether CANN is sourced."""

import os
import re

CANN_VARIABLES = ("ASCEND_HOME_PATH", "ASCEND_OPP_PATH")
_SINCE_910B1 = re.compile(r"910B[1-9]|910_93")


def soc():
    """The chip's name, such as Ascend910A or Ascend910B3."""
    return os.environ.get("ASCEND_DOUBLE_SOC", "Ascend910A")


def is_910b1_or_later():
    """Whether the chip has bfloat16, HF32, and overflow as inf and nan."""
    return _SINCE_910B1.search(soc()) is not None


def device_count():
    """The devices this process may use; ASCEND_DEVICE_ID is not looked at."""
    count = int(os.environ.get("ASCEND_DOUBLE_DEVICES", "8"))
    visible = os.environ.get("ASCEND_RT_VISIBLE_DEVICES")
    if visible is None:
        return count
    numbers = [int(word) for word in visible.split(",") if word.strip().isdigit()]
    return len([number for number in numbers if number < count])


def require_cann():
    """Fails as the import of torch_npu does where set_env.sh was not sourced."""
    for name in CANN_VARIABLES:
        if not os.environ.get(name):
            raise ImportError(f"{name} is not set: source CANN's set_env.sh first")
