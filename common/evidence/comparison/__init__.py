"""Runs against each other: aligned curves, honest intervals, verdicts with their rule."""
