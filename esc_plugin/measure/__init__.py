"""Figures: scores, comparisons, how long a run takes."""
