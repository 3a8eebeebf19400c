"""The Segment dock: prompts, propagation, review."""
