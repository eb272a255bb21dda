"""A classifier so small that a test can train it."""
