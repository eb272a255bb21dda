"""Double of CANN's `acl` module: it knows the chip's name."""

import os


def get_soc_name():
    """The chip of the machine that the test asked for, in words that no record can mistake."""
    return os.environ.get("ASCEND_DOUBLE_SOC", "Ascend910A") + " (contract double)"
