"""Optimizers, hooks and operations of the adapter."""
