"""Datasets: catalogue, download, checksums, unpacking, readers."""
