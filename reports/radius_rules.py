"""Compare the radius rules inside NTR and NAPTS: final test values and radii, differences, passes.

Usage: python reports/radius_rules.py RECORDS

RECORDS has the runs of studies/radius-rules-*.toml, packed or not, such as reports/records-radius.
A label is a method, its rule and its eta_1. Differences are tracking less ratio, paired by seed,
with their 95 % interval (t), in points of accuracy; passes are those of tracking over those of
ratio.
"""

import sys
from collections.abc import Mapping

from napts.analysis import load_collection
from napts.analysis.columns import floats
from napts.analysis.labels import grouped
from napts.analysis.statistics import paired_difference, paired_ratio, summarise
from napts.papers.untuned import finals


def main() -> None:
    """Print one table per study."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for section in load_collection(sys.argv[1]).of_kind("comparison"):
        values = finals(section)
        last = section.epochs.groupby(["label", "seed"], sort=False).tail(1)
        passes = {
            label: dict(
                zip(group["seed"].tolist(), floats(group, "pass_equivalents_total"), strict=True)
            )
            for _, label, group in grouped(last)
        }
        radii = {label: floats(group, "radius") for _, label, group in grouped(last)}
        print(section.experiment)
        for label, by_seed in values.items():
            one = summarise([100 * value for value in by_seed.values()])
            low, high = 100 * min(by_seed.values()), 100 * max(by_seed.values())
            print(
                f"  {label:22} {one.mean:.2f} [{low:.2f}, {high:.2f}] n = {one.n}, "
                f"radius {min(radii[label]):.3f} to {max(radii[label]):.3f}"
            )
        for label in values:
            if ", tracking" in label:
                method = label.split(",")[0]
                for other in values:
                    if other.startswith(f"{method}, ratio"):
                        _compare(label, other, values, passes)


def _compare(
    label: str,
    other: str,
    values: Mapping[str, Mapping[int, float]],
    passes: Mapping[str, Mapping[int, float]],
) -> None:
    points = [{seed: 100 * v for seed, v in values[name].items()} for name in (label, other)]
    change, cost = paired_difference(*points), paired_ratio(passes[label], passes[other])
    print(
        f"  {label} less {other}: {change.mean:.2f} [{change.low:.2f}, {change.high:.2f}], "
        f"passes {cost.value:.3f} [{cost.low:.3f}, {cost.high:.3f}], n = {change.n}"
    )


if __name__ == "__main__":
    main()
