"""Benchmarks of the methods, for asv or by themselves: ``python -m benchmarks.overhead``."""
