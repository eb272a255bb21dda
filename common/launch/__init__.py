"""From a command line to processes and their results: request, plan, supervision."""
