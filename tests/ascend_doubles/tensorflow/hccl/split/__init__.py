"""Part of the double of HCCL."""
