"""Which network: what there is, where it comes from, how it is built."""
