"""Ratios between two methods of a comparison, paired by seed."""

from collections.abc import Sequence

from napts.analysis.collection import Collection
from napts.analysis.statistics import paired_ratio
from napts.analysis.tables import Table

PAIRS = (("NAPTS", "APTS"), ("NTR", "TR"), ("NAPTS", "Adam"), ("NAPTS", "SGD"))
COLUMNS = ("cpu_seconds_per_epoch", "rejections_per_batch", "backwards_per_batch")


def ratio_table(collection: Collection, pairs: Sequence[tuple[str, str]] = PAIRS) -> Table:
    """Return ratios with 95 % intervals, a row for each comparison, quantity and pair of labels.

    Args:
        collection: The records.
        pairs: Labels, each with the one to which it is put in relation.
    """
    rows = []
    for section in collection.of_kind("comparison"):
        by_label = {str(name): runs for name, runs in section.runs.groupby("label")}
        for column in COLUMNS:
            for first, second in pairs:
                if first not in by_label or second not in by_label:
                    continue
                values = [
                    dict(zip(by_label[label]["seed"], by_label[label][column], strict=True))
                    for label in (first, second)
                ]
                if not any(values[1].values()):  # baselines reject nothing
                    continue
                ratio = paired_ratio(*values)
                interval = f"[{ratio.low:.3f}, {ratio.high:.3f}]"
                pair = f"{first}/{second}"
                rows.append(
                    [section.slug, column, pair, str(ratio.n), f"{ratio.value:.3f}", interval]
                )
    columns = ["section", "quantity", "pair", "n", "ratio", "95 % interval"]
    return Table("Ratios, paired by seed", columns, rows)
