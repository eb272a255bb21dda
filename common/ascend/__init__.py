"""All that only an Ascend server needs."""
