"""Tuning studies as tables and plain data."""

import math
from typing import Any

from napts.analysis.tables import Table, number
from napts.analysis.tuning import Setting, Tuning


def tuning_table(tuning: Tuning) -> Table:
    """Return the finalists, best first, with the cost of the search in the notes."""
    rows = [
        [
            _name(tuning, setting),
            _four(tuning.value(setting.mean)),
            *(_four(tuning.value(score)) for _, score in sorted(setting.scores.items())),
        ]
        for setting in tuning.finalists
    ]
    seeds = sorted(tuning.best.scores)
    failed = sum(
        not math.isfinite(s) for setting in tuning.settings for s in setting.scores.values()
    )
    expected = tuning.expected_best()
    few = min(5, len(expected))
    return Table(
        f"{tuning.method} on {tuning.workload}",
        ["setting", f"mean {tuning.metric}", *(f"seed {seed}" for seed in seeds)],
        rows,
        [
            f"{len(tuning.settings)} settings, {tuning.runs} runs ({failed} failed or diverged), "
            f"{tuning.cpu_seconds:.0f} s of CPU time; all settings were tried with the first seed, "
            f"these with every one. Had {few} settings been drawn at random, the best would have "
            f"had {_four(expected[few - 1])} on average, with one "
            f"{_four(expected[0])}."
        ],
    )


def _four(value: float) -> str:
    """Return a number with four decimals, unless it is too small for these to show."""
    return number(value) if 0.0 < abs(value) < 0.01 else number(value, places=4)


def _name(tuning: Tuning, setting: Setting) -> str:
    varied = (f"{n}={_short(setting.options.get(n))}" for n in tuning.varied)
    return (" ".join(varied) or tuning.method) + setting.beside


def tuning_data(tuning: Tuning) -> dict[str, Any]:
    """Return a study as plain data."""
    return {
        "workload": tuning.workload,
        "method": tuning.method,
        "metric": tuning.metric,
        "settings": len(tuning.settings),
        "runs": tuning.runs,
        "cpu_seconds": tuning.cpu_seconds,
        "best": {n: tuning.best.options.get(n) for n in tuning.varied},
        "finalists": [_setting(tuning, setting) for setting in tuning.finalists],
        "expected_best": tuning.expected_best(),
    }


def _setting(tuning: Tuning, setting: Setting) -> dict[str, Any]:
    scores = {seed: tuning.value(score) for seed, score in setting.scores.items()}
    finite = {str(s): v if math.isfinite(v) else None for s, v in scores.items()}
    return {"options": {n: setting.options.get(n) for n in tuning.varied}, "by_seed": finite}


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
