"""A network without a framework: it writes the events of a run and misbehaves on demand."""
