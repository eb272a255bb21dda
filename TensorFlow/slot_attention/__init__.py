"""Slot Attention (Locatello et al., NeurIPS 2020): object discovery and set prediction."""
