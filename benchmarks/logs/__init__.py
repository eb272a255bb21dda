"""Speed of reading logs."""
