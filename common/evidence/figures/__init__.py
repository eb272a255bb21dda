"""What the pictures of the networks share; needs Pillow alone."""
