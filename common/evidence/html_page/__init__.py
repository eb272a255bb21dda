"""What the project's HTML pages share: one file each, nothing loaded, no foreign script."""
