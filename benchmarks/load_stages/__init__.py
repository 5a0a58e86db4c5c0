"""Stages of ``benchmarks/load.py``."""
