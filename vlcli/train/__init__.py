"""Training: loop, stages, checkpoints, logging."""
