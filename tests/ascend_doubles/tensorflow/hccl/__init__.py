"""A contract double of HCCL's Python interface, whose rules are npu_bridge's (see there)."""
