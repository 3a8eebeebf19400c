"""Networks that need no prompt: they say of every pixel which classes it is of."""
