"""Decisions explained to people: pictures of prototypes, an HTML gallery, curves."""
