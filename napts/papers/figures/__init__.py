"""Figures of particular papers, and those by which their claims are seen."""
