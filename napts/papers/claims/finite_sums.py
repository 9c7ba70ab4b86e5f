"""The claims about multilevel variance reduction and ASTROM, from their slides.

Thresholds and targets are ours and were fixed before the runs: a gap of 1e-6 to the minimum, a
gradient of length 1e-6. Step lengths of MLVR's rivals are tuned on each data set; those of ASTROM's
rival are the published ones.
"""

from napts.papers.claims.claim import Claim
from napts.papers.claims.costs import CostOfTarget
from napts.papers.claims.evidence import Who
from napts.papers.claims.rules import Identical
from napts.papers.claims.verdict import Region
from napts.records.metric import Metric

GAP = Metric("gap", "min")
_LESS = Region(at_most=1.0)
_MLVR = "multilevel variance reduction (arXiv 2006.15602), slides"

_TWO = Who("MLVR", {"shares": [0.1], "smoothing_steps": 1, "coarse_solver": "newton"}, "MLVR2")
_THREE = Who(
    "MLVR", {"shares": [0.01, 0.1], "smoothing_steps": 1, "coarse_solver": "newton"}, "MLVR3"
)
AS_NEWTON = {
    **{"shares": [0.1], "smoothing_steps": 0, "coarse_solver": "newton", "coarse_steps": 1},
    **{"lr": 1.0, "cg_tolerance": 1e-9},
}
"""MLVR with two levels and one Newton step on the coarser one."""

LENGTHS = {0.01: 0.075, 0.1: 0.1}
"""Lengths of sub-sampled Newton steps on ASTROM's slides, by the share of the samples."""


def _searching(share: float) -> Who:
    return Who("SSN", {"share": share, "lr": None}, f"SSN {share:g} with line search")


def _published(share: float) -> Who:
    return Who("SSN", {"share": share, "lr": LENGTHS[share]}, f"SSN {share:g}, {LENGTHS[share]:g}")


def _astrom(share: float) -> Who:
    return Who("ASTROM", {"share": share, "eta_1": 0.25}, f"ASTROM {share:g}")


_BATCH = Who("TRNewton")
_RIVALS = (
    *(Who("SVRG", tuned=True), Who("SARAH", tuned=True)),
    *(Who("SSN", {"share": 0.1}, "SSN 0.1", tuned=True), _searching(0.1)),
)

FINITE_SUMS = (
    Claim(
        "L1",
        "Sub-sampled Newton is a special case of two-level MLVR.",
        _MLVR,
        (Identical(Who("MLVR", AS_NEWTON, "MLVR as SSN"), _searching(0.1), Region(0.0, 1e-10)),),
        metric=GAP,
    ),
    Claim(
        "L2",
        "MLVR needs fewer effective gradient evaluations than SVRG, SARAH and sub-sampled Newton.",
        _MLVR,
        tuple(
            CostOfTarget(count, of, to, region, "val_gap", 1e-6)
            # The second count is only told: Newton steps look free by the first one.
            for count, region in (("backwards_total", _LESS), ("evaluations_total", None))
            for of in (_TWO, _THREE)
            for to in _RIVALS
        ),
        metric=GAP,
    ),
    Claim(
        "T1",
        "ASTROM needs no learning rate, fewer Hessians and iterations of conjugate gradients than "
        "batch TR, and fewer iterations than sub-sampled Newton, at 1 to 10 %.",
        "ASTROM, slides",
        tuple(
            CostOfTarget(count, _astrom(share), to, region, "val_gradient_norm", 1e-6)
            for share in (0.01, 0.1)
            for count, to, region in (
                ("hessians_total", _BATCH, _LESS),
                ("hessian_products_total", _BATCH, _LESS),
                ("epoch", _published(share), _LESS),
                ("epoch", _searching(share), None),
            )
        ),
        metric=GAP,
    ),
)
