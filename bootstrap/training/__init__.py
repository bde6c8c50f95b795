"""Training: subjects out of data sets, crops, augmentation, losses, the loop, checkpoints."""
