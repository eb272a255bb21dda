"""Optimizers, hooks and tools of the adapter."""
