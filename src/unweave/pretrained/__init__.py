"""Pretrained models: one adapter a family reads its config, maps its weights, and refuses what it can't honour."""
