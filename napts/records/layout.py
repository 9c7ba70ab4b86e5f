"""Names of run directories and of the files in them, and what experiments are for."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from napts.records.damage import RecordError
from napts.text import shown

SCHEMA = 1
"""Version of the format that runs write; part of every run key."""

THINNED_SCHEMA = 2
"""Version of copies with rows that stand for several epochs."""

NEWEST_SCHEMA = THINNED_SCHEMA
"""The newest version that this program reads."""

SPEC = "spec.json"
ENVIRONMENT = "environment.json"
EPOCHS = "epochs.jsonl"
STEPS = "steps.jsonl"
RESTARTS = "restarts.jsonl"
STATUS = "status.json"
CHECKPOINT = "checkpoint.pt"
PREVIOUS_CHECKPOINT = "checkpoint.previous.pt"
LOCK = "lock"
TRACEBACK = "traceback.txt"
KEPT = "kept.npz"

MERGED = "merged_epochs"
"""The column that says for how many epochs a row stands; without it, for one."""

NAME_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$"
"""Allowed names of experiments and run keys; no such name leads out of the records folder."""


Kind = Literal["comparison", "tuning", "calibration"]
KINDS: tuple[Kind, ...] = ("comparison", "tuning", "calibration")
"""What the runs of an experiment are for."""

TUNING_PREFIX = "tune-"
"""The names of the experiments of tuning studies start with this."""

_OLD_PREFIXES: Mapping[str, Kind] = {TUNING_PREFIX: "tuning", "calibration": "calibration"}


def kind_by_name(experiment: str) -> Kind:
    """Return what an experiment is for, by its name, if its spec or records do not say.

    Args:
        experiment: Its name.
    """
    for prefix, kind in _OLD_PREFIXES.items():
        if experiment.startswith(prefix):
            return kind
    return "comparison"


def check_name(name: str) -> str:
    """Return ``name`` if it can be a folder inside the records folder.

    Raises:
        RecordError: It holds anything but letters, digits, ``.``, ``_`` and ``-``, or starts with
            a dot.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise RecordError(
            f"invalid name {shown(name)}, "
            "allowed: letters, digits, '.', '_' and '-', no '.' at the start"
        )
    return name


def run_directory(records_root: str | Path, experiment: str, run_key: str) -> Path:
    """Return ``<records_root>/<experiment>/<run_key>``.

    Raises:
        RecordError: One of the names is invalid.
    """
    return Path(records_root) / check_name(experiment) / check_name(run_key)
