"""Names without a double: a test that needs one has to write it."""
