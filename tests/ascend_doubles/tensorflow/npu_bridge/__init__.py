"""A contract double of Ascend's TensorFlow adapter: its rules on a real TensorFlow, without an NPU.

Test code only. It holds a program to what the adapter does with sessions, options, environment,
graphs, ranks and loss scales; it computes on the processor, so nothing it produces is an NPU's
result. What its tests choose, by environment variables:

    ASCEND_DOUBLE_ADAPTER   the adapter's release, such as 1.9.0 (default 1.15.0)
    ASCEND_DOUBLE_SOC       the chip, such as Ascend910B3 (default Ascend910A)
    ASCEND_DOUBLE_SECONDS   how long ranks wait for each other (default 60)
    ASCEND_DOUBLE_DRIFT     set: ranks begin with other variables than the first one's
    ASCEND_DOUBLE_REPORT    a folder: what the process saw is written there as JSON at its end

`npu_bridge.contract.process.PROCESS` is what it saw so far. Section numbers in comments are those
of the specification of the Ascend software.
"""

from npu_bridge.contract.cann import require_cann

require_cann()
