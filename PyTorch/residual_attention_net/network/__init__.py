"""The networks: their parts, their sizes as data, their weights."""
