"""The entry points of object discovery in torch."""
