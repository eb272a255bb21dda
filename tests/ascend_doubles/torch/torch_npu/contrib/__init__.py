"""Double of torch_npu.contrib."""
