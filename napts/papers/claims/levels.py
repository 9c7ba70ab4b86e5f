"""The claim about multilevel training of residual networks.

The sources' tables could not be recovered. "At lower cost" is tested with the work units that
follow from the sources, at the loss that the method with one level ends with, seed by seed. Test
and threshold are ours and were fixed before the runs: the method's default, three levels and
V-cycles, is judged; other cycles, other clocks and tuned optimizers are reported beside it.
"""

from napts.papers.claims.claim import Claim
from napts.papers.claims.costs import BestOf, CostOfTarget
from napts.papers.claims.evidence import Who
from napts.papers.claims.verdict import Region

_TR = Who("TR", {"order": 2}, "TR of order 2")


def _rmtr(levels: int, cycle: str = "V") -> Who:
    return Who("RMTR", {"levels": levels, "cycle": cycle}, f"RMTR {levels} {cycle}")


def _cost(of: Who, to: Who, clock: str, region: Region | None = None) -> CostOfTarget:
    return CostOfTarget(clock, of, to, region, "train_loss", BestOf(_TR))


_DEFAULT = _rmtr(3)
_OTHERS = (_rmtr(2), _rmtr(4), _rmtr(3, "W"), _rmtr(3, "F"), _rmtr(4, "F"))
_RIVALS = (
    *(Who("TR", {"order": 1}, "TR of order 1"), Who("NTR", {"order": 2}, "NTR of order 2")),
    *(Who("Adam"), Who("SGD"), Who("schedulefree.AdamWScheduleFree", {}, "schedule-free AdamW")),
)

LEVELS = (
    Claim(
        "R1",
        "RMTR trains residual networks at lower cost than single-level TR, without tuning.",
        "RMTR (arXiv 2107.07572), abstract",
        (
            _cost(_DEFAULT, _TR, "work_units_total", Region(at_most=1.0)),
            _cost(_DEFAULT, _TR, "backwards_total"),
            _cost(_DEFAULT, _TR, "train_seconds_total"),
            *(_cost(who, _TR, "work_units_total") for who in _OTHERS),
            *(_cost(_DEFAULT, rival, "work_units_total") for rival in _RIVALS),
        ),
        on=("sine-resnet", "digits-resnet", "mnist-resnet", "cifar10-mini-resnet"),
        metric=None,  # a loss is compared
    ),
)
