"""How a network runs over a volume: features, memory, sessions."""
