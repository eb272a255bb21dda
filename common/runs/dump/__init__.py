"""The tensors of one training step: format, writing, reading."""
