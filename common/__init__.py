"""The launcher library that every model of the zoo shares."""

__version__ = "0.1.0"
