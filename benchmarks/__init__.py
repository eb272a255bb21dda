"""Speed, each network beside the plain baseline that it is compared to."""
