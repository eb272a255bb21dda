"""The regression gate: runs against stored references, with a verdict that can be checked."""
