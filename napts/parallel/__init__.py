"""One network on many ranks: PyTorch's pipeline engine below, the same methods above.

:class:`napts.Pipeline` and :func:`napts.join_ranks` are what a training script needs. The engine
takes a second to import, so nothing is imported here.
"""
