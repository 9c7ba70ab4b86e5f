"""Files in the layout of LIBSVM: a label and ``index:value`` pairs in each line."""

import bz2
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy
import torch
from torch import Tensor

from napts.problems.data_root import DataInvalid
from napts.text import shown

_LINE = re.compile(rb"\s*([^\s:#]+)((?:\s+\d+:[^\s:#]+)*)\s*(?:#.*)?\s*")
_UNLABELLED = re.compile(rb"(?:\s*\d+:[^\s:#]+)*\s*(?:#.*)?\s*")
_PAIR = re.compile(rb"(\d+):([^:]+)")
_CHUNK = 512
"""Number of lines read at once."""

LARGEST_INDEX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class LibsvmData:
    """The contents of a file.

    Attributes:
        inputs: ``(p, n)`` in double precision and the layout ``sparse_csr``, with indices of 32
            bits.
        labels: ``(p,)``, the numbers in the file.
        skipped: Numbers of the lines that have no label, counted from 1.
    """

    inputs: Tensor
    labels: Tensor
    skipped: tuple[int, ...]


def read_libsvm(path: Path, features: int | None = None) -> LibsvmData:
    """Read a file; lines without a label are skipped, with a warning that names them.

    Indices count from 1 and increase within a line; anything after a ``#`` is a comment. A file
    whose name ends in ``.bz2`` is decompressed.

    Args:
        path: The file.
        features: Number of columns, and largest index allowed; None for the largest that occurs.

    Raises:
        DataInvalid: The file has no samples, or a line does not have this layout; the message names
            the first such line.
        OSError: It cannot be read.
    """
    reader = _Reader(path, features or LARGEST_INDEX)
    parts = list(reader.parts())
    if not any(part.labels for part in parts):
        raise DataInvalid(f"{path.name}: found no samples, allowed: lines such as '+1 3:0.5 7:1'")
    if skipped := reader.skipped:
        named = ", ".join(map(str, skipped[:5])) + (", ..." if len(skipped) > 5 else "")
        lines = "line" if len(skipped) == 1 else "lines"
        warnings.warn(
            f"{path.name}: {len(skipped)} {lines} without a label skipped: {named}", stacklevel=2
        )
    return _joined(parts, tuple(skipped), features)


def signed(labels: Tensor, name: str) -> tuple[Tensor, str]:
    """Map two labels to -1 and +1, the larger one to +1.

    Args:
        labels: ``(p,)``, as in the file.
        name: Name of the file, for messages.

    Returns:
        The signs ``(p,)``, and the mapping in words, such as ``"1 -> -1, 2 -> +1"``.

    Raises:
        DataInvalid: There are not exactly two labels.
    """
    found = torch.unique(labels).tolist()
    if len(found) != 2:
        told = ", ".join(f"{label:g}" for label in found[:6]) + (", ..." if len(found) > 6 else "")
        raise DataInvalid(f"{name}: found the labels {told}, allowed: exactly two")
    signs = torch.where(labels == found[1], 1.0, -1.0).to(labels.dtype)
    return signs, f"{found[0]:g} -> -1, {found[1]:g} -> +1"


class _Part(NamedTuple):
    labels: list[float]
    lengths: list[int]
    indices: numpy.ndarray
    values: numpy.ndarray


class _Reader:
    """Reads one file, many lines at once.

    Attributes:
        skipped: Numbers of the lines without a label so far.
    """

    def __init__(self, path: Path, largest: int) -> None:
        self.skipped: list[int] = []
        self._path, self._largest = path, largest

    def parts(self) -> Iterator[_Part]:
        """Yield the samples of the file."""
        try:
            with (
                bz2.open(self._path) if self._path.suffix == ".bz2" else self._path.open("rb") as f
            ):
                lines = enumerate(f, 1)
                while chunk := list(islice(lines, _CHUNK)):
                    yield self._parsed(chunk)
        except (EOFError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise DataInvalid(f"{self._path.name}: found damaged data: {error}") from error

    def _parsed(self, lines: Sequence[tuple[int, bytes]]) -> _Part:
        """Return the samples of some lines, whose numbers NumPy reads as one text."""
        samples: list[tuple[bytes, bytes]] = []
        for number, line in lines:
            match = _LINE.fullmatch(line)
            if match is not None:
                samples.append((match[1], match[2]))
            elif _UNLABELLED.fullmatch(line):
                self.skipped.append(number)
            else:
                self._refuse(lines)
        lengths = [pairs.count(b":") for _, pairs in samples]
        text = b"".join(pairs for _, pairs in samples).replace(b":", b" ")
        try:
            labels = [float(label) for label, _ in samples]
            with warnings.catch_warnings():
                warnings.simplefilter("error", DeprecationWarning)  # of text that is no number
                numbers = numpy.fromstring(text, sep=" ") if text else numpy.empty(0)
        except (ValueError, DeprecationWarning):
            self._refuse(lines)
        if len(numbers) != 2 * sum(lengths):
            self._refuse(lines)
        indices, values = numbers.reshape(-1, 2).T
        if not self._fit(labels, lengths, indices, values):
            self._refuse(lines)
        return _Part(labels, lengths, indices.astype(numpy.int32), values)

    def _fit(
        self, labels: list[float], lengths: list[int], indices: numpy.ndarray, values: numpy.ndarray
    ) -> bool:
        """Tell whether numbers are finite, and indices increase from 1 on within each line."""
        starts = numpy.cumsum(numpy.asarray([0, *lengths[:-1]], numpy.int64))
        before = numpy.concatenate([[0.0], indices[:-1]])[: len(indices)]
        before[starts[starts < len(indices)]] = 0.0
        grow = (indices > before).all() and indices.max(initial=0.0) <= self._largest
        return bool(grow and numpy.isfinite(values).all() and numpy.isfinite(labels).all())

    def _refuse(self, lines: Sequence[tuple[int, bytes]]) -> NoReturn:
        """Name the first line that violates the layout, and say what is wrong with it.

        Raises:
            DataInvalid: Always.
        """
        name = self._path.name
        for number, line in lines:
            for found, allowed in self._faults(line.partition(b"#")[0].split()):
                text = shown(found.decode(errors="replace"))
                raise DataInvalid(f"{name}, line {number}: found {text}, allowed: {allowed}")
        raise AssertionError("a line was refused that has no error")

    def _faults(self, tokens: Sequence[bytes]) -> Iterator[tuple[bytes, str]]:
        if tokens and b":" not in tokens[0]:
            if not _is_finite(tokens[0]):
                yield tokens[0], "a finite number as the label"
            tokens = tokens[1:]
        before = 0
        for token in tokens:
            match = _PAIR.fullmatch(token)
            if match is None:
                yield token, "index:value"
            elif int(match[1]) <= before:
                after = f"after {before}, in increasing order" if before else "from 1 on"
                yield token, f"indices {after}"
            elif int(match[1]) > self._largest:
                yield token, f"indices up to {self._largest}"
            elif not _is_finite(match[2]):
                yield token, "a finite number as the value"
            else:
                before = int(match[1])


def _is_finite(text: bytes) -> bool:
    try:
        return bool(numpy.isfinite(float(text))) and b"_" not in text
    except ValueError:
        return False


def _joined(parts: Sequence[_Part], skipped: tuple[int, ...], features: int | None) -> LibsvmData:
    lengths = numpy.concatenate([numpy.asarray(part.lengths, numpy.int64) for part in parts])
    ends = numpy.concatenate([[0], numpy.cumsum(lengths)]).astype(numpy.int32)
    indices = torch.from_numpy(numpy.concatenate([part.indices for part in parts]))
    values = torch.from_numpy(numpy.concatenate([part.values for part in parts]))
    labels = torch.tensor([label for part in parts for label in part.labels], dtype=torch.float64)
    largest = int(indices.max()) if len(indices) else 0
    size = (len(labels), features or largest)
    inputs = torch.sparse_csr_tensor(
        torch.from_numpy(ends), indices - 1, values, size, check_invariants=False
    )
    return LibsvmData(inputs, labels, skipped)
