"""What everything stands on: errors, files, command lines, the terminal."""
