"""Read datasets larger than memory, ahead of the training loop."""
