"""The datasets: reading them safely, augmenting them, batches on the device."""
