"""What the doubles of torch_npu (both generations) and of Ascend's apex share.

An NPU tensor is a CPU tensor of the class NpuTensor: its device says npu, and everything computed
from it is of that class. The rules that the doubles keep are those of the real packages.
"""
