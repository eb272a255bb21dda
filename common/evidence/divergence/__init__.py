"""Tensors of one training step, stored by two runs and compared layer by layer."""
