"""What the doubles of torch_npu for torch 1.8.1 and of Ascend's apex share, on an Ascend 910A.

An NPU tensor is a CPU tensor of the class NpuTensor: its device says npu, and everything computed
from it is of that class. The rules that the doubles keep are those of the real packages.
"""
