"""How training pairs are made: one file a degradation."""
