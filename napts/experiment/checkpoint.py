"""Checkpoints: plain tensors and numbers, replaced atomically, two generations."""

import contextlib
import io
import zipfile
from collections import OrderedDict
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from napts.records.damage import DamagedRun, NewerSchema
from napts.records.files import write_atomic
from napts.records.layout import CHECKPOINT, PREVIOUS_CHECKPOINT, SCHEMA
from napts.records.reading import read_bytes

# In the order of removal: a kill in between then leaves the newer generation, not the older.
_FILES = (PREVIOUS_CHECKPOINT, f"{CHECKPOINT}.tmp", CHECKPOINT)


_PLAIN = (
    *(type(None), bool, int, float, complex, str, bytes, torch.Tensor, torch.nn.Parameter),
    *(torch.Size, torch.dtype, torch.device),
)
_CONTAINERS = (dict, OrderedDict, list, tuple, set)


_LARGEST = 1 << 50
"""Largest size of a checkpoint in bytes: no limit."""


class CheckpointRefused(ValueError):
    """A state holds something that could not be read again."""


class CheckpointDamaged(ValueError):
    """A checkpoint cannot be read, or belongs to another run."""


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a search for a checkpoint.

    Attributes:
        state: What was saved, tensors on the CPU; None if there is nothing usable.
        warning: One line about checkpoints that could not be used, or None.
    """

    state: dict[str, Any] | None
    warning: str | None


def save_checkpoint(directory: Path, run_key: str, state: dict[str, Any]) -> None:
    """Save a state, and keep the checkpoint before it as the previous generation.

    Args:
        directory: The run directory.
        run_key: Name of the run, which loading checks.
        state: Nested dictionaries and lists of tensors, numbers and strings.

    Raises:
        CheckpointRefused: The state holds something else.
        RecordWriteError: Writing failed, for example because the disk is full; the existing
            checkpoints are unchanged.
    """
    for part, value in state.items():
        _check_plain(value, part)
    # Serialised in memory first: a full disk then shows as a plain OSError of one write.
    buffer = io.BytesIO()
    torch.save({"schema": SCHEMA, "run_key": run_key, **state}, buffer)
    write_atomic(directory / CHECKPOINT, buffer.getvalue(), keep=directory / PREVIOUS_CHECKPOINT)


def _check_plain(value: Any, place: str) -> None:
    """Check that a part of a state can be read again without executing code.

    Raises:
        CheckpointRefused: It cannot.
    """
    kind = type(value)
    if kind in _PLAIN:
        return
    if kind in (dict, OrderedDict):
        for key, item in value.items():
            if type(key) not in _PLAIN:
                _check_plain(key, f"{place}, a key")
            _check_plain(item, f"{place}.{key}")
    elif kind in _CONTAINERS:
        for n, item in enumerate(value):
            _check_plain(item, f"{place}[{n}]")
    elif not _is_read_again(value):
        raise CheckpointRefused(
            f"checkpoint: {place}: found {kind.__module__}.{kind.__qualname__}, allowed in a "
            "state: tensors, numbers, strings, and lists and dictionaries of them"
        )


def _is_read_again(value: Any) -> bool:
    """Tell whether torch reads a value of another type without executing anything."""
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
        buffer.seek(0)
        torch.load(buffer, map_location="cpu", weights_only=True)
    except Exception:  # pickle and torch raise many types
        return False
    return True


def find_checkpoint(directory: Path, run_key: str, parts: Set[str] = frozenset()) -> Found:
    """Return the newest usable checkpoint.

    Args:
        directory: The run directory.
        run_key: Name of the run.
        parts: What a state must have.

    Raises:
        NewerSchema: One has a later version of the format.
    """
    warnings: list[str] = []
    for name in (CHECKPOINT, PREVIOUS_CHECKPOINT):
        path = directory / name
        if not path.exists():
            continue
        try:
            return Found(_load(path, run_key, parts), "; ".join(warnings) or None)
        except CheckpointDamaged as error:
            warnings.append(str(error))
    return Found(None, "; ".join(warnings) or None)


def has_checkpoints(directory: Path) -> bool:
    """Return whether there is anything that `remove_checkpoints` would remove."""
    return any((directory / name).exists() for name in _FILES)


def remove_checkpoints(directory: Path) -> None:
    """Remove both generations and what an interrupted write left behind."""
    for name in _FILES:
        with contextlib.suppress(IsADirectoryError):
            (directory / name).unlink(missing_ok=True)


def _load(path: Path, run_key: str, parts: Set[str]) -> dict[str, Any]:
    try:
        data = read_bytes(path, _LARGEST)
    except DamagedRun as error:
        raise CheckpointDamaged(str(error).removeprefix(f"{path.parent}/")) from None
    try:
        # torch does not compare the checksums of the archive that it writes.
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            bad = archive.testzip()
        if bad is not None:
            raise CheckpointDamaged(f"{path.name} is damaged (checksum of {bad})")
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except CheckpointDamaged:
        raise
    except Exception as error:  # zipfile, pickle and torch raise many types on damaged input
        reason = (str(error).splitlines() or [""])[0]
        raise CheckpointDamaged(f"{path.name} is damaged ({reason})") from None
    found = (state.get("schema"), state.get("run_key")) if isinstance(state, dict) else None
    if found is not None and type(found[0]) is int and found[0] > SCHEMA:
        raise NewerSchema(path, found[0], SCHEMA)
    if found != (SCHEMA, run_key):
        raise CheckpointDamaged(f"{path.name} belongs to another run or version")
    if not parts <= state.keys() or ("progress" in parts and not _is_position(state["progress"])):
        raise CheckpointDamaged(f"{path.name} is incomplete")
    return state


def _is_position(progress: Any) -> bool:
    """Tell whether the state says which epoch and step it belongs to."""
    if not isinstance(progress, dict):
        return False
    epoch, step = progress.get("epoch"), progress.get("step")
    return type(epoch) is int and epoch >= -1 and type(step) is int and step >= 0
