"""napari-octa-sam2: prompt, propagate and measure vessels in OCT angiography."""

__version__ = "0.1.0"
