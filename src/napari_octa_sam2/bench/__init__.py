"""The engine beside stock SAM 2: time, equality of masks, memory, share of the peak."""
