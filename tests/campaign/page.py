"""Write the tables of docs/development/survival.md anew: python -m tests.campaign.page."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "reports" / "campaign"
PAGE = ROOT / "docs" / "development" / "survival.md"

_ORDER = ("kills", "disk", "specs", "damage", "labels", "servers")
_MARKED = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_MOST_KINDS = 30


def with_tables(text: str) -> str:
    """Return the page's text with its tables made anew.

    Args:
        text: The page; tables stand between ``<!-- NAME -->`` and ``<!-- end -->``, where the name
            is that of a part, or ``results`` for all of them.
    """
    known = results()

    def table(match: re.Match[str]) -> str:
        name = match[2]
        lines = _overview(known) if name == "results" else _part(known.get(name))
        return match[1] + "".join(f"{line}\n" for line in lines) + match[3]

    return _MARKED.sub(table, text)


def results() -> dict[str, dict[str, Any]]:
    """Return the committed results, by part."""
    found = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    return {name: found[name] for name in _ORDER if name in found}


def _overview(known: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield "| part | asked for | struck | findings | seed | revision | Python | torch |"
    yield "|---|---:|---:|---:|---:|---|---|---|"
    for name, result in known.items():
        numbers = (result["asked for"], _struck(result), len(result["findings"]), result["seed"])
        cells = " | ".join(f"{number:,}" for number in numbers)
        origin = f"`{result['revision']}` | {result['python']} | {result['torch']}"
        yield f"| {name} | {cells} | {origin} |"


def _struck(result: Mapping[str, Any]) -> int:
    """Return how many faults there were; they are called by their own name."""
    return sum(result["kinds"].values())


def _part(result: Mapping[str, Any] | None) -> Iterator[str]:
    if result is None:
        yield "(No long form has been run yet.)"
        return
    kinds = result["kinds"]
    counts: Counter[str] = Counter()
    for kind, number in kinds.items():
        counts[kind if len(kinds) <= _MOST_KINDS else _short(kind)] += number
    yield "| kind | number |"
    yield "|---|---:|"
    for kind, number in sorted(counts.items()):
        yield f"| {kind} | {number:,} |"
    if result["findings"]:
        yield "\nFindings:\n"
        for found in result["findings"]:
            since = " (fixed since)" if found.get("fixed since") else ""
            yield f"- case {found['case']}{since}: {_plain(found['what'])}"


def _short(kind: str) -> str:
    """Leave out the details of a kind: ``run: data, add: refused`` is of ``run, refused``."""
    first, *rest = kind.split(": ")
    return f"{first}, {rest[-1]}" if rest and rest[-1] in ("refused", "accepted") else first


def _plain(text: str) -> str:
    """Return a finding as text of Markdown."""
    return "`" + text.replace("`", "'") + "`"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
