"""Faults by the thousand, drawn from a seed: python -m tests.campaign PART --seed S --count N.

Parts: kills, disk, specs, damage, labels, servers, or all (their short forms). The exit code is 1
if something was found that should not happen; ``--case I`` runs one case again.
"""

import argparse
import json
import sys
from pathlib import Path

from tests.campaign import children
from tests.campaign.damage import DAMAGE
from tests.campaign.kills import DISK, KILLS
from tests.campaign.labels import LABELS
from tests.campaign.outcome import Part, campaign, one_case
from tests.campaign.servers import SERVERS
from tests.campaign.specs import SPECS

PARTS: tuple[Part, ...] = (KILLS, DISK, SPECS, DAMAGE, LABELS, SERVERS)


def main() -> int:
    """Run parts, print what was found and write it down; return the exit code."""
    known = {part.name: part for part in PARTS}
    parser = argparse.ArgumentParser(
        prog="python -m tests.campaign", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("part", choices=[*known, "all"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, help="faults; by default those of the short form")
    parser.add_argument("--jobs", type=int, default=2, help="processes beside each other")
    parser.add_argument("--minutes", type=float, help="begin no case after this time")
    parser.add_argument("--out", type=Path, help="file for the result, in JSON")
    parser.add_argument("--case", type=int, help="run only this case, and show it")
    parser.add_argument("--keep", type=Path, help="with --case: keep its files in this folder")
    given = parser.parse_args()
    children.warm_up()
    parts = list(PARTS) if given.part == "all" else [known[given.part]]
    if given.case is not None:
        case = one_case(parts[0], given.seed, given.case, given.keep)
        print(json.dumps({"kinds": dict(case.kinds), "findings": case.findings}, indent=1))
        return int(bool(case.findings))
    results = []
    for part in parts:
        count = given.count or part.short
        result = campaign(part, given.seed, count, given.jobs, given.minutes)
        results.append(result)
        print(
            f"{part.name}: {result[part.unit]:,} {part.unit} in {result['cases']:,} cases, "
            f"{len(result['findings'])} findings, {result['seconds']} s",
            flush=True,
        )
        for found in result["findings"]:
            print(f"  --case {found['case']}: {found['what']}", file=sys.stderr)
    if given.out:
        written = results[0] if len(results) == 1 else results
        given.out.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n")
    return int(any(result["findings"] for result in results))


if __name__ == "__main__":
    sys.exit(main())
