import errno
import json
import math
from pathlib import Path

import pytest

from napts.records.files import RecordWriteError, RowFile, write_atomic, write_object
from napts.records.rows import (
    RecordError,
    decode_numbers,
    dump_row,
    encode_numbers,
    read_object,
    read_rows,
)
from tests.helpers.full_disk import no_room_for


def test_non_finite_numbers_survive_as_far_as_json_allows() -> None:
    row = {"val_loss": math.inf, "test_loss": -math.inf, "radius": math.nan, "final": None}
    nested = {"final": {"train_loss": math.nan, "val_accuracy": math.inf}, "list": [1.0, math.nan]}
    assert encode_numbers(row) == {
        "val_loss": "inf", "test_loss": "-inf", "radius": None, "final": None,
    }  # fmt: skip
    assert encode_numbers(nested) == {
        "final": {"train_loss": "nan", "val_accuracy": "inf"}, "list": [1.0, None],
    }  # fmt: skip
    back = decode_numbers(json.loads(dump_row({**row, **nested})))
    assert (back["val_loss"], back["test_loss"]) == (math.inf, -math.inf)
    assert math.isnan(back["final"]["train_loss"])


def test_only_losses_are_decoded() -> None:
    assert decode_numbers({"label": "inf", "val_loss": "high"}) == {
        "label": "inf", "val_loss": "high",
    }  # fmt: skip


def write_rows(path: Path, *rows: dict[str, int]) -> None:
    file = RowFile(path)
    file.append(rows)
    file.close()


def test_rows_are_appended_and_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert read_rows(path) == []
    write_rows(path, {"a": 1}, {"a": 2})
    write_rows(path, {"a": 3})
    assert read_rows(path) == [{"a": 1}, {"a": 2}, {"a": 3}]


@pytest.mark.parametrize("cut", range(1, 10))
def test_torn_end_is_ignored_then_repaired(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_rows(path, {"a": 1}, {"a": 2})
    path.write_bytes(path.read_bytes()[:-cut])
    complete = [{"a": 1}, {"a": 2}] if cut == 1 else [{"a": 1}] if cut < 10 else []
    assert read_rows(path) == complete
    write_rows(path, {"a": 3})
    assert read_rows(path) == [*complete, {"a": 3}]
    assert path.read_bytes().endswith(b"\n")


def test_damage_before_the_end_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a":1}\n{"a":\n{"a":3}\n')
    with pytest.raises(RecordError, match=r"rows\.jsonl: line 2 is not a JSON object"):
        read_rows(path)


def test_full_disk_while_appending() -> None:
    file = RowFile.__new__(RowFile)
    file.path = Path("/dev/full")
    with open("/dev/full", "wb") as full:
        file._descriptor = full.fileno()
        with pytest.raises(RecordWriteError, match="/dev/full: cannot be written, No space left"):
            file.append([{"a": 1}])


def test_atomic_write_keeps_the_generation_before(tmp_path: Path) -> None:
    path, previous = tmp_path / "file", tmp_path / "previous"
    for contents in (b"1", b"2", b"3"):
        write_atomic(path, contents, keep=previous)
    assert (path.read_bytes(), previous.read_bytes()) == (b"3", b"2")
    assert len(list(tmp_path.iterdir())) == 2


def test_failed_atomic_write_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    write_object(path, {"state": "running"})
    with no_room_for("status.json"), pytest.raises(RecordWriteError) as caught:
        write_object(path, {"state": "done"})
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert read_object(path) == {"state": "running"}
    assert [file.name for file in tmp_path.iterdir()] == ["status.json"]


def test_object_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_text("[1]")
    with pytest.raises(RecordError, match="not a JSON object"):
        read_object(path)
