"""What decisions by prototypes are worth: accuracy, sparsity, confidence, calibration."""
