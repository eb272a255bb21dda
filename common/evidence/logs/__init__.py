"""Training logs of any known format, read into typed series."""
