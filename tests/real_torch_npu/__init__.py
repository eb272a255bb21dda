"""The registry's torch_npu without an NPU: CANN's libraries are stubs, its memory is the host's.

Its Python and C++ are the real ones: device set-up, options, autocast, GradScaler, fused
optimizers, process groups. What an operator computes is torch's CPU kernel's (simulated.py).
"""
