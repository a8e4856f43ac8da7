"""Pretrained models: what a checkpoint, or the name of a published model, says of itself."""
