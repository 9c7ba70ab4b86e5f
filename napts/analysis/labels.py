"""Names of methods: their fixed order, and labels that never mix different settings."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pandas as pd

from napts.analysis.looks import LOOKS
from napts.records import RunRecord

NOT_SCIENCE = ("seed", "label", "execution", "experiment", "kind")
"""Top-level keys of a spec that may differ between averaged runs, except for `PASSES`."""

PASSES: Mapping[str, Any] = {"channels_last": False, "compile": False, "autocast": "none"}
"""Keys of ``execution`` that change what a pass computes or costs, and what older runs had."""


def order_of(method: str, label: str) -> tuple[int, str, tuple[str | int, ...], str]:
    """Return the sort key of a method: the order of `LOOKS`, all others last by name.

    Numbers in labels are compared as numbers, so that ``window=5`` precedes ``window=10``.

    Args:
        method: Name of the method.
        label: Its label, which orders variants of one method.
    """
    parts = tuple(int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", label))
    # The label itself where numbers alone do not tell, as in 0.1 and 0.0001.
    if method in LOOKS:
        return list(LOOKS).index(method), "", parts, label
    return len(LOOKS), method, parts, label


def grouped(frame: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Split a frame into its methods.

    Args:
        frame: A frame with the columns ``method`` and ``label``.

    Returns:
        Method, label and rows of each label, in the usual order.
    """
    groups = []
    for key, group in frame.groupby(["method", "label"], sort=False):
        method, label = (str(part) for part in cast(tuple[str, str], key))
        groups.append((method, label, group))
    return sorted(groups, key=lambda item: order_of(item[0], item[1]))


def distinct_labels(runs: Sequence[RunRecord]) -> list[str]:
    """Return a label for every run such that equal labels mean equal settings except for the seed.

    If runs of one experiment and workload have the same label but different settings, the differing
    settings are appended, for example ``"NAPTS [window=10]"``; averaging them as one method would
    be meaningless.

    Args:
        runs: The runs.

    Returns:
        One label per run, in the same order.
    """
    settings = [flat_science(run.spec) for run in runs]
    groups: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for index, run in enumerate(runs):
        groups[run.experiment, run.workload, run.label].append(index)
    labels = [run.label for run in runs]
    for members in groups.values():
        for index, suffix in zip(members, suffixes([settings[i] for i in members]), strict=True):
            labels[index] += suffix
    return labels


def flat_science(spec: Mapping[str, Any], without: str | None = None) -> dict[str, str]:
    """Return the part of a spec that must not differ between averaged runs.

    Args:
        spec: The validated spec of a run.
        without: A table of it to leave out.

    Returns:
        For example ``{"budget.epochs": "5"}``.
    """
    left_out = (*NOT_SCIENCE, without)
    execution = spec.get("execution") or {}
    passes = {name: execution.get(name, absent) for name, absent in PASSES.items()}
    kept = {name: value for name, value in spec.items() if name not in left_out}
    return _flatten({**kept, "execution": passes})


def suffixes(settings: Sequence[Mapping[str, str]]) -> list[str]:
    """Return what distinguishes settings, such as ``" [window=10]"``; empty texts if nothing does.

    Args:
        settings: As returned by `flat_science`.
    """
    differing = _differing(settings)
    return [_suffix(setting, differing) if differing else "" for setting in settings]


def _flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, item in value.items():
        if isinstance(item, Mapping):
            flat |= _flatten(item, f"{prefix}{name}.")
        else:
            flat[prefix + name] = json.dumps(item).strip('"')
    return flat


def _differing(settings: Sequence[Mapping[str, str]]) -> list[str]:
    names = sorted({name for setting in settings for name in setting})
    return [name for name in names if len({setting.get(name) for setting in settings}) > 1]


def _suffix(setting: Mapping[str, str], names: Sequence[str]) -> str:
    parts = [f"{name.rsplit('.', 1)[-1]}={setting.get(name, 'none')}" for name in names]
    return f" [{', '.join(parts)}]"
