"""Multilevel minimisation: one cycle for sub-sampled sums and for hierarchies of networks.

Start reading in :mod:`napts.optim.multilevel.cycle`.
"""
