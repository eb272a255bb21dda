"""This machine: devices, ranks, precision, what it can run."""
