"""What an Ascend NPU's TensorFlow session is told, and what it tells; imports no framework."""
