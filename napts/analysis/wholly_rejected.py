"""Steps of trust-region methods of which no trial was accepted."""

from napts.analysis.collection import Collection
from napts.analysis.columns import floats, rows_with, texts, trained, with_trust_region
from napts.analysis.labels import order_of
from napts.analysis.tables import Table


def wholly_rejected_table(collection: Collection) -> Table:
    """Return how many steps moved nothing, by experiment and method, and their sum.

    Args:
        collection: The records.
    """
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for section in collection.sections:
        trusting = trained(with_trust_region(section.epochs))
        for method in sorted(set(texts(trusting, "method"))):
            rows = rows_with(trusting, "method", [method])
            batches, accepted = floats(rows, "batches").sum(), floats(rows, "accepted").sum()
            steps, rejected = counts.get((section.experiment, method), (0, 0))
            counts[section.experiment, method] = (
                steps + int(batches),
                rejected + int(batches - accepted),
            )
    ordered = sorted(counts.items(), key=lambda item: (item[0][0], order_of(item[0][1], "")))
    rows = [[*name, *_cells(*count)] for name, count in ordered if count[1]]
    total = [sum(each) for each in zip(*counts.values(), strict=True)] or [0, 0]
    return Table(
        "Steps of which no trial was accepted",
        ["experiment", "method", "wholly rejected", "steps", "%"],
        [*rows, ["all", "all", *_cells(*total)]],
    )


def _cells(steps: int, rejected: int) -> list[str]:
    share = f"{100 * rejected / steps:.1f}" if steps else "0.0"
    return [f"{rejected:,}", f"{steps:,}", share]
