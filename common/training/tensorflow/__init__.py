"""The engine of TensorFlow, for 1.15 and 2."""
