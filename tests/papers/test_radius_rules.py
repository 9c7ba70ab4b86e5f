"""The numbers of the radius rules on their page are those of the committed records."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_has_the_numbers_of_the_records() -> None:
    script, records = ROOT / "reports" / "radius_rules.py", ROOT / "reports" / "records-radius"
    run = subprocess.run(
        [sys.executable, script, records], capture_output=True, text=True, check=True, cwd=ROOT
    )
    page = (ROOT / "docs" / "results" / "untuned.md").read_text(encoding="utf-8")
    section = page.split("## The rule inside NTR and NAPTS")[1].split("\n## ")[0]
    told = re.findall(r"-?\d+\.\d\d \[[^]]+\]", section)
    assert len(told) == 18
    assert all(numbers in run.stdout for numbers in told)
    costs = re.search(r"passes, tracking over the best ratio rule \|(.+)\|", section)
    assert costs is not None
    assert all(f"passes {cost.strip()} " in run.stdout for cost in costs[1].split("|"))
