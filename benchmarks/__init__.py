"""Speed of a training step of each network beside a plain baseline, measured by one harness."""
