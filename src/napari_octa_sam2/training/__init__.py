"""Training of SAM 2 networks on OCTA sequences."""
