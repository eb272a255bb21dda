"""The network: encoder, keys, queries and values, attention over candidates, classifier."""
