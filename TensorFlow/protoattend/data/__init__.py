"""Labelled images: reading them safely, splitting them, batches with candidates."""
