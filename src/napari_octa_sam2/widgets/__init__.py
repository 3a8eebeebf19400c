"""Dock widgets: one a file; they compute nothing."""
