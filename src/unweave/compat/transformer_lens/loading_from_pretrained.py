"""What is known of pretrained models, by name."""
