"""The datasets of the networks: what there is, fetching it, checking it."""
