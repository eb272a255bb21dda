"""From logs and records to verdicts, figures and pages."""
