"""HCCL rank tables: making, merging, checking."""
