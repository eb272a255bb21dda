"""Training, shared by all networks; the engines of both frameworks below it."""
