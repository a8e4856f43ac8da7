"""See what pretrained models make of images."""
