"""Quasi-Newton steps with line searches, and what preconditions them.

Start reading in :mod:`napts.optim.methods.aspqn`, where the steps of an iteration stand one after
the other; the parts that they name are in this package.
"""
