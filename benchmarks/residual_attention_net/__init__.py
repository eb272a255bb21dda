"""Speed of the Residual Attention Network's training step."""
