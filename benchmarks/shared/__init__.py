"""What the benchmarks of all networks share: worker processes, rounds, figures, the report."""
