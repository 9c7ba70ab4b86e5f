"""Typed access to pandas frames, whose own types leave open what an index returns."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def floats(frame: pd.DataFrame, name: str) -> Floats:
    """Return a column as an array of floats.

    Args:
        frame: The frame.
        name: Name of a numeric column.
    """
    return np.asarray(frame[name], dtype=np.float64)


def texts(frame: pd.DataFrame, name: str) -> list[str]:
    """Return a column as a list of strings.

    Args:
        frame: The frame.
        name: Name of a column.
    """
    return [str(value) for value in frame[name].tolist()]


def rows_where(frame: pd.DataFrame, flags: Flags) -> pd.DataFrame:
    """Return the rows whose flag is set.

    Args:
        frame: The frame.
        flags: One flag per row.
    """
    return cast(pd.DataFrame, frame.loc[flags])


def rows_with(frame: pd.DataFrame, name: str, allowed: Sequence[str]) -> pd.DataFrame:
    """Return the rows whose column has one of some values.

    Args:
        frame: The frame.
        name: Name of a column of strings.
        allowed: The values.
    """
    return rows_where(frame, np.isin(texts(frame, name), allowed))


def with_trust_region(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the methods that have a radius, and can therefore reject steps.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`.
    """
    there = rows_where(frame, np.isfinite(floats(frame, "radius")))
    return rows_with(frame, "method", sorted(set(texts(there, "method"))))


def trained(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of an epochs frame without epoch 0, the evaluation before training.

    Args:
        frame: Frame of `napts.analysis.epochs_frame`.
    """
    return rows_where(frame, floats(frame, "epoch") > 0)


def split(frame: pd.DataFrame, name: str) -> list[pd.DataFrame]:
    """Split a frame by the values of a column, in order.

    Args:
        frame: The frame.
        name: Name of the column.
    """
    return [group for _, group in frame.groupby(name, sort=True)]
