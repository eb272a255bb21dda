"""What amp.initialize leaves for the other functions."""


class AmpState:
    """Of this process; initialize works once."""

    properties = None
    scalers = []
