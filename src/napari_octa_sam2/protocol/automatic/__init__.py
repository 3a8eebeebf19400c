"""How well whole classes are found without a prompt."""
