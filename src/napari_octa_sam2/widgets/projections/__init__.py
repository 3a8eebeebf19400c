"""The Projections dock: slabs, surfaces, flattening."""
