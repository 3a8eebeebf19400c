"""The Train dock: data, recipe, a training and its model."""
