"""What a pass costs, in the unit in which methods are compared."""

from typing import Any

FORWARD_COST = 1 / 3
BACKWARD_COST = 2 / 3
LOCAL_COST = 1.0
PRODUCT_COST = 1.0
"""Cost of a pass in forward-backward equivalents. A backward counts as two forwards, which is our
choice (a matrix product has one product forwards and two backwards). A local pass is a forward and
a backward of every subdomain, so of the whole network once. A product of a Hessian with a vector
counts as a pass, since it too has two matrix products for a linear model (ours)."""


def pass_equivalents(
    forwards: Any,
    backwards: Any,
    local_passes: Any,
    local_fraction: Any = 1.0,
    hessian_products: Any = 0.0,
) -> Any:
    """Return the cost of passes over a batch, in forward-backward passes of the whole network.

    Args:
        forwards: Forward passes of the whole network; like the others, a number or a column of a
            frame.
        backwards: Backward passes of the whole network.
        local_passes: Local passes, all subdomains together counting once.
        local_fraction: Share of the batch that a local pass uses.
        hessian_products: Products of Hessians with vectors, by their share of the samples.
    """
    return (
        FORWARD_COST * forwards
        + BACKWARD_COST * backwards
        + LOCAL_COST * local_fraction * local_passes
        + PRODUCT_COST * hessian_products
    )
