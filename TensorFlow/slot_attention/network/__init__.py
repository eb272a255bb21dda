"""The networks: Slot Attention itself, the autoencoder around it, the set predictor around it."""
