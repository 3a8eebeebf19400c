"""How good a model is on a folder of real samples, under a fixed protocol."""
