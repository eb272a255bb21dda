"""The rules that the double holds programs to."""
