"""Segmentation without a click: prompts are made of vessel maps."""
