"""The reader of LIBSVM's layout, on small files that are written out here."""

import bz2
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napts.problems import DataInvalid
from napts.problems.libsvm import read_libsvm, signed

TEXT = b"""+1 1:0.5 3:-2 \r
-1   2:1e-3\t4:.25  # a comment 7:1
-1
+1 4:3
"""
TABLE = [[0.5, 0, -2, 0], [0, 1e-3, 0, 0.25], [0, 0, 0, 0], [0, 0, 0, 3]]


def written(folder: Path, text: bytes, name: str = "some.txt") -> Path:
    path = folder / name
    path.write_bytes(bz2.compress(text) if name.endswith(".bz2") else text)
    return path


@pytest.mark.parametrize("name", ["some.txt", "some.bz2", "some"])
def test_labels_and_rows(tmp_path: Path, name: str) -> None:
    found = read_libsvm(written(tmp_path, TEXT, name))
    assert found.inputs.to_dense().tolist() == TABLE
    assert found.inputs.dtype == found.labels.dtype == torch.float64
    assert found.labels.tolist() == [1, -1, -1, 1]
    assert found.skipped == ()


def test_more_columns_than_occur(tmp_path: Path) -> None:
    found = read_libsvm(written(tmp_path, TEXT), features=6)
    assert found.inputs.to_dense().tolist() == [[*row, 0, 0] for row in TABLE]


def test_many_lines(tmp_path: Path) -> None:
    """More than are read at once; the number of a line counts from the beginning of the file."""
    lines = b"".join(b"%d %d:%d\n" % (i % 2, i % 7 + 1, i) for i in range(9000))
    found = read_libsvm(written(tmp_path, lines))
    dense = found.inputs.to_dense()
    assert dense.shape == (9000, 7)
    assert all(dense[i].nonzero().tolist() == [[i % 7]] and dense[i].sum() == i for i in (1, 8999))
    with pytest.raises(DataInvalid, match="line 9001: found '1:x'"):
        read_libsvm(written(tmp_path, lines + b"1 1:x\n"))


def test_lines_without_a_label_are_skipped_and_said(tmp_path: Path) -> None:
    path = written(tmp_path, b"1 1:2\n1:3 2:4\n0 2:5\n\n# nothing\n")
    with pytest.warns(UserWarning, match=r"some.txt: 3 lines without a label skipped: 2, 4, 5$"):
        found = read_libsvm(path)
    assert found.skipped == (2, 4, 5)
    assert found.inputs.to_dense().tolist() == [[2, 0], [0, 5]]
    with pytest.warns(UserWarning, match=r"some.txt: 1 line without a label skipped: 3$"):
        read_libsvm(written(tmp_path, b"1 1:2\n0 2:5\n\n"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"1 1:2 3:abc", "found '3:abc', allowed: a finite number as the value"),
        (b"1 1:2 3:nan", "found '3:nan', allowed: a finite number as the value"),
        (b"1 1:1_0", "found '1:1_0', allowed: a finite number as the value"),
        (b"inf 1:2", "found 'inf', allowed: a finite number as the label"),
        (b"x 1:2", "found 'x', allowed: a finite number as the label"),
        (b"1 2:1 2:3", "found '2:3', allowed: indices after 2, in increasing order"),
        (b"1 4:1 2:3", "found '2:3', allowed: indices after 4, in increasing order"),
        (b"1 0:1", "found '0:1', allowed: indices from 1 on"),
        (b"1 6:1", "found '6:1', allowed: indices up to 5"),
        (b"1 1:2:3", "found '1:2:3', allowed: index:value"),
        (b"1 qid:3 1:1", "found 'qid:3', allowed: index:value"),
        (b"1 2", "found '2', allowed: index:value"),
        (b"1 1: 2", "found '1:', allowed: index:value"),
        (b"1,2,3", "found '1,2,3', allowed: a finite number as the label"),
        (b"\x00\x1b 1:2", r"found '\x00\x1b', allowed: a finite number as the label"),
    ],
)
def test_a_malformed_line_is_named_in_one_line(tmp_path: Path, line: bytes, message: str) -> None:
    with pytest.raises(DataInvalid) as caught:
        read_libsvm(written(tmp_path, b"1 1:1\n" + line + b"\n1 x\n"), features=5)
    told = str(caught.value)
    assert told.startswith("some.txt, line 2: found ")
    assert message in told
    assert "\n" not in told
    assert told.isprintable()


@pytest.mark.parametrize("text", [b"", b"\n\n", b"# nothing\n"])
def test_a_file_without_samples(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(DataInvalid, match=r"some.txt: found no samples, allowed: lines such as"):
        read_libsvm(written(tmp_path, text))


def test_a_file_that_is_damaged_or_missing(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT * 100, "some.bz2")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataInvalid, match=r"some.bz2: found damaged data: Compressed file ended"):
        read_libsvm(path)
    path.write_bytes(b"no archive")
    with pytest.raises(DataInvalid, match=r"some.bz2: found damaged data: Invalid data"):
        read_libsvm(path)
    with pytest.raises(FileNotFoundError):
        read_libsvm(tmp_path / "none.txt")


_TOKENS = st.lists(
    st.text(alphabet="0123456789:.-+ena#x_ \t,", max_size=6).map(str.encode), max_size=5
)


@given(st.lists(_TOKENS, min_size=1, max_size=5))
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.filterwarnings("ignore:.*without a label skipped")
def test_whatever_is_in_a_file_is_read_or_refused(tmp_path: Path, lines: list[list[bytes]]) -> None:
    path = written(tmp_path, b"\n".join(b" ".join(tokens) for tokens in lines))
    try:
        found = read_libsvm(path)
    except DataInvalid:
        return
    kept = len(path.read_bytes().split(b"\n")) - len(found.skipped)
    assert len(found.labels) in (kept, kept - 1)  # nothing after the last line end is no line
    assert found.inputs.values().isfinite().all()


@pytest.mark.parametrize(
    ("labels", "signs", "told"),
    [
        ([1.0, 2.0, 2.0], [-1, 1, 1], "1 -> -1, 2 -> +1"),
        ([1.0, 0.0], [1, -1], "0 -> -1, 1 -> +1"),
        ([-1.0, 1.0], [-1, 1], "-1 -> -1, 1 -> +1"),
    ],
)
def test_the_larger_label_becomes_plus_one(
    labels: list[float], signs: list[float], told: str
) -> None:
    found, mapping = signed(torch.tensor(labels), "some.txt")
    assert (found.tolist(), mapping) == (signs, told)


@pytest.mark.parametrize("labels", [[1.0, 1.0], [0.0, 1.0, 2.0]])
def test_other_numbers_of_labels_are_refused(labels: list[float]) -> None:
    told = ", ".join(f"{label:g}" for label in sorted(set(labels)))
    with pytest.raises(DataInvalid, match=f"a.txt: found the labels {told}, allowed: exactly two"):
        signed(torch.tensor(labels), "a.txt")
