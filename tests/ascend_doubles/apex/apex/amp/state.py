"""What amp.initialize leaves for the other functions."""


class AmpState:
    """Of this process; initialize works once."""

    properties = None
    scalers = []


def reset():
    """As after the import, for tests."""
    AmpState.properties, AmpState.scalers = None, []
