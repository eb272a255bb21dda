"""From where on slots are said to own, to share or to be alike; both frameworks' diagnostics."""

LEAST_SHARE = 0.005  # of the image's pixels; 82 pixels at 128x128, less than CLEVR's small objects
LEAST_OVERLAP = 0.5  # sum of minima over sum of maxima of two masks
LEAST_COSINE = 0.95
TINY = 1e-12
