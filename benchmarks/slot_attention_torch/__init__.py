"""Slot Attention in torch: training steps against TensorFlow's and against plain torch."""
