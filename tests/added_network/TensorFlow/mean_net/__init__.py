"""A network that learns one number: what docs/adding_a_network.md asks for, and no more."""
