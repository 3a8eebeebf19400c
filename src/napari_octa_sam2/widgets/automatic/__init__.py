"""The Automatic dock: whole classes, or everything, without a click."""
