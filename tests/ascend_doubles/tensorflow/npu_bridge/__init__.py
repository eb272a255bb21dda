"""A contract double of Ascend's TensorFlow adapter 1.15: its rules on a real TensorFlow.

Test code only. It holds a program to what the adapter does with sessions, options, environment,
graphs, ranks and loss scales; it computes on the processor, so nothing it produces is an NPU's
result. What its tests choose, by environment variables:

    ASCEND_DOUBLE_SOC       the chip, such as Ascend910B3 (default Ascend910A)
    ASCEND_DOUBLE_SECONDS   how long ranks wait for each other (default 60)
    ASCEND_DOUBLE_DRIFT     set: ranks begin with other variables than the first one's
    ASCEND_DOUBLE_REPORT    a folder: what the process saw is written there as JSON at its end

`npu_bridge.process.PROCESS` is what it saw so far.
"""

import os

if not any(os.environ.get(name) for name in ("ASCEND_HOME_PATH", "ASCEND_OPP_PATH")):
    raise ImportError(
        "libge_runner.so: cannot open shared object file: No such file or directory "
        "(set_env.sh was not sourced)"
    )
