"""Names of pretrained models."""
