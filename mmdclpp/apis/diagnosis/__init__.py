"""Diagnose the features of pretrained models, without labels."""
