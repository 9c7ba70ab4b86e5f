"""How a batch is divided into micro-batches of equal size."""


def micro_batch_count(batch_size: int, wanted: int) -> int:
    """Return how many micro-batches a batch is divided into.

    The engine moves tensors of one shape, and a mean of means is the mean only if all parts weigh
    the same, so the parts are equal: a batch that ``wanted`` does not divide (the smaller last one
    of an epoch, say) is cut into the next smaller number of equal parts instead.

    Args:
        batch_size: Samples of the batch, at least 1.
        wanted: Micro-batches asked for, at least 1.

    Returns:
        The largest divisor of ``batch_size`` that is at most ``wanted``.
    """
    return next(n for n in range(min(wanted, batch_size), 0, -1) if batch_size % n == 0)
