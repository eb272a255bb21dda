"""What a run leaves behind: events, record, dumps, tables."""
