"""Quasi-Newton steps with line searches, and what preconditions them.

Start reading in :mod:`napts.optim.methods.aspqn`, which lists the steps of an iteration in order;
the parts that they name are in this package.
"""
