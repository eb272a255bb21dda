"""The engine of torch."""
