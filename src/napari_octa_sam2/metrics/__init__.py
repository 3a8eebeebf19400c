"""How good a segmentation is, and what it measures. No torch, no napari."""
