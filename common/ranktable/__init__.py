"""HCCL's rank tables of format 1.0: making, reading and checking them."""
