"""Training a model: schedule, checkpoints, validation and the loop that joins them."""
