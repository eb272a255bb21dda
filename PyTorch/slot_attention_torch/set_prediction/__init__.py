"""The entry points of set prediction in torch."""
