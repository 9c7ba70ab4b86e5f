"""Every checkable claim of the family's papers, and its test with its threshold.

The thresholds are ours if the paper gives none; docs/explanation/verdicts.md says when they were
fixed. A claimed effect counts as seen if about three quarters of it is there, "keeps the accuracy"
means within one percentage point, and "clearly higher" means by at least one.
"""

from napts.papers.claims.claim import Claim
from napts.papers.claims.curves import Sooner
from napts.papers.claims.evidence import Who
from napts.papers.claims.finite_sums import FINITE_SUMS
from napts.papers.claims.levels import LEVELS
from napts.papers.claims.quasi_newton import QUASI_NEWTON
from napts.papers.claims.rules import Difference, Identical, Level, Longer, Ratio, Spread
from napts.papers.claims.times import ModelledTime, TimeOnRanks
from napts.papers.claims.verdict import Region
from napts.papers.claims.weights_and_data import WEIGHTS_AND_DATA

_TR, _NTR, _APTS, _APTSA, _NAPTS = (Who(m) for m in ("TR", "NTR", "APTS", "APTSA", "NAPTS"))
_ADAM, _SGD = Who("Adam", tuned=True), Who("SGD", tuned=True)
_MONOTONE = Who("NAPTS", {"window": 0}, "NAPTS window 0")
INEXACT = {
    **{"norm": "inf", "radius": 0.1, "radius_min": 0.01, "radius_max": 0.5},
    **{"shrink": 0.9, "grow": 1.2, "local_steps": 3, "correction": [], "max_tries": 1},
}
"""IAPTS as in its authors' code, composed from the options of `napts.APTS`."""


def _inexact(subdomains: int) -> Who:
    return Who("APTS", {**INEXACT, "subdomains": subdomains}, f"IAPTS with {subdomains}")


_NAPTS_PAPER = "NAPTS (arXiv 2605.14860)"
_INEXACT = "APTS and IAPTS (arXiv 2512.14286)"
_CPU, _LOSS, _ACCURACY = "cpu_seconds_per_epoch", "train_loss", "val_accuracy"
_WALL, _MODELLED = "seconds_per_epoch", "modelled time"
_REJECTED, _BACKWARDS = "rejections_per_batch", "backwards_per_batch"

_N2, _N8, _N9 = (Region(at_most=bound) for bound in (0.75, 0.925, 0.82))
"""The region for claims about times on four devices. The judged times are those modelled for four
devices from the counted passes, and measured ones if every subdomain had a device or a core. The
time of one process, which takes the subdomains one after the other, is given beside them."""


_OF_NAPTS = (
    Claim(
        "N1",
        "NAPTS keeps the validation accuracy of APTS.",
        f"{_NAPTS_PAPER}, abstract and section 3",
        (Difference(_ACCURACY, _NAPTS, _APTS, Region(at_least=-1.0), "shared"),),
    ),
    Claim(
        "N2",
        "NAPTS cuts the CPU time by 30 % (31.5 % in the table) against APTS.",
        f"{_NAPTS_PAPER}, abstract and section 3",
        (
            ModelledTime(_MODELLED, _NAPTS, _APTS, _N2),
            Ratio("forwards_per_batch", _NAPTS, _APTS, None),
        ),
        where_there=(TimeOnRanks(_WALL, _NAPTS, _APTS, _N2),),
        beside=(Ratio(_CPU, _NAPTS, _APTS, _N2),),
    ),
    Claim(
        "N3",
        "NAPTS rejects a third as many steps as APTS.",
        f"{_NAPTS_PAPER}, abstract",
        (Ratio(_REJECTED, _NAPTS, _APTS, Region(at_most=0.4)),),
    ),
    Claim(
        "N4",
        "NTR rejects about half as often as TR, with better loss and accuracy.",
        f"{_NAPTS_PAPER}, section 3",
        (
            Ratio(_REJECTED, _NTR, _TR, Region(at_most=0.625)),
            Ratio(_LOSS, _NTR, _TR, Region(at_most=1.0), "shared"),
            Difference(_ACCURACY, _NTR, _TR, Region(at_least=0.0), "shared"),
        ),
    ),
    Claim(
        "N5",
        "TR and NTR stay below the accuracy of APTS and NAPTS even with twice the epochs.",
        f"{_NAPTS_PAPER}, section 3",
        (
            Longer(_TR, _APTS, Region(at_least=2.0)),
            *(
                Difference(_ACCURACY, plain, apts, Region(at_most=0.0), "end")
                for plain in (_TR, _NTR)
                for apts in (_APTS, _NAPTS)
            ),
        ),
    ),
    Claim(
        "N6",
        "TR and NTR use about half the back-propagations per epoch.",
        f"{_NAPTS_PAPER}, section 3",
        tuple(Ratio(_BACKWARDS, plain, _APTS, Region(0.4, 0.6)) for plain in (_TR, _NTR)),
    ),
    Claim(
        "N7",
        "APTS and NAPTS reach lower train loss and clearly higher accuracy than TR and NTR.",
        f"{_NAPTS_PAPER}, section 3",
        (
            *(
                Ratio(_LOSS, apts, plain, Region(at_most=1.0), "shared")
                for apts in (_APTS, _NAPTS)
                for plain in (_TR, _NTR)
            ),
            *(
                Difference(_ACCURACY, apts, plain, Region(at_least=1.0), "shared")
                for apts in (_APTS, _NAPTS)
                for plain in (_TR, _NTR)
            ),
        ),
    ),
    Claim(
        "N8",
        "APTSA saves about 10 % of the CPU time of APTS.",
        f"{_NAPTS_PAPER}, section 3, recomputed from its table: 9.9 %",
        (ModelledTime(_MODELLED, _APTSA, _APTS, _N8),),
        where_there=(TimeOnRanks(_WALL, _APTSA, _APTS, _N8),),
        beside=(Ratio(_CPU, _APTSA, _APTS, _N8),),
    ),
    Claim(
        "N9",
        "NAPTS saves a further 24 % against APTSA.",
        f"{_NAPTS_PAPER}, section 3, recomputed from its table",
        (ModelledTime(_MODELLED, _NAPTS, _APTSA, _N9),),
        where_there=(TimeOnRanks(_WALL, _NAPTS, _APTSA, _N9),),
        beside=(Ratio(_CPU, _NAPTS, _APTSA, _N9),),
    ),
    Claim(
        "N10",
        "In NAPTS the preconditioned proposal is almost always accepted.",
        f"{_NAPTS_PAPER}, section 3",
        (Level("rejections_proposal_per_batch", _NAPTS, Region(at_most=0.1)),),
    ),
    Claim(
        "N11",
        "The overhead of the windowed test is negligible.",
        f"{_NAPTS_PAPER}, section 2.2",
        (Ratio("cpu_seconds_per_pass", _NAPTS, _APTS, Region(at_most=1.05)),),
    ),
    Claim(
        "N12",
        "With a monotone memory NAPTS is APTS.",
        f"{_NAPTS_PAPER}, section 2.3",
        (Identical(_MONOTONE, _APTS, Region(0.0, 0.0)),),
    ),
    Claim(
        "N13",
        "Adam and SGD are faster per epoch.",
        f"{_NAPTS_PAPER}, section 3; its factor could not be recovered",
        tuple(
            Ratio(_CPU, Who(baseline), method, Region(at_most=1.0))
            for baseline in ("Adam", "SGD")
            for method in (_TR, _NTR, _NAPTS)
        ),
    ),
)

_OF_INEXACT = (
    Claim(
        "A1",
        "Without tuning, APTS is comparable to tuned SGD and Adam.",
        f"{_INEXACT}, abstract",
        tuple(
            Difference(_ACCURACY, _APTS, baseline, Region(at_least=-2.0), "shared")
            for baseline in (_ADAM, _SGD)
        ),
    ),
    Claim(
        "A2",
        "More subdomains improve the accuracy and lower the cost.",
        f"{_INEXACT}, abstract",
        (
            Difference(_ACCURACY, _inexact(6), _inexact(2), Region(at_least=0.0), "shared"),
            Ratio(_CPU, _inexact(6), _inexact(2), Region(at_most=1.0)),
        ),
    ),
    Claim(
        "A3",
        "IAPTS with 6 subdomains converges faster than Adam, with lower train loss.",
        f"{_INEXACT}, experiments",
        (
            Ratio(_LOSS, _inexact(6), _ADAM, Region(at_most=1.0), "shared"),
            Sooner(_inexact(6), _ADAM, Region(at_most=1.0)),
        ),
    ),
    Claim(
        "A4",
        "An iteration of IAPTS costs more than a first-order update, and the smallest radius "
        "must be chosen with care.",
        f"{_INEXACT}, experiments",
        (
            Ratio(_CPU, _inexact(6), Who("Adam"), Region(at_least=1.0)),
            Spread(
                "final_val_accuracy",
                Who(
                    "APTS",
                    {k: v for k, v in INEXACT.items() if k != "radius_min"} | {"subdomains": 6},
                    "IAPTS with 6",
                ),
                "radius_min",
                Region(at_least=1.0),
            ),
        ),
    ),
)

CLAIMS: tuple[Claim, ...] = (
    *_OF_NAPTS,
    *_OF_INEXACT,
    *WEIGHTS_AND_DATA,
    *QUASI_NEWTON,
    *FINITE_SUMS,
    *LEVELS,
)
"""The ledger, in the order of the report."""
