import errno
import random
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from napts.experiment.checkpoint import (
    CheckpointRefused,
    find_checkpoint,
    remove_checkpoints,
    save_checkpoint,
)
from napts.experiment.seeding import random_state, restore_random_state, seed_everything
from napts.records import RecordWriteError
from tests.helpers.full_disk import no_room_for

NEWEST, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"


def save(folder: Path, number: int) -> None:
    save_checkpoint(folder, "key", {"number": number, "weights": torch.full((500,), number)})


def test_newest_of_two_generations_is_found(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        save(tmp_path, number)
    assert sorted(path.name for path in tmp_path.iterdir()) == [PREVIOUS, NEWEST]
    found = find_checkpoint(tmp_path, "key")
    assert found.state is not None
    assert (found.state["number"], found.warning) == (3, None)
    (tmp_path / NEWEST).unlink()
    found = find_checkpoint(tmp_path, "key")
    assert found.state is not None
    assert found.state["number"] == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_damaged_checkpoint_falls_back_with_a_warning(damage: str, tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    path = tmp_path / NEWEST
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flipped":
        # A single bit within the tensor, which torch itself would load without complaint.
        data[data.find(torch.full((8,), 2).numpy().tobytes()) + 100] ^= 4
    else:
        data = bytearray(b"" if damage == "empty" else b"no checkpoint")
    path.write_bytes(data)
    found = find_checkpoint(tmp_path, "key")
    assert found.state is not None
    assert found.state["number"] == 1
    assert found.warning is not None
    assert f"{NEWEST} is damaged" in found.warning
    assert "\n" not in found.warning


def test_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    save(tmp_path, 1)
    found = find_checkpoint(tmp_path, "other")
    assert found.state is None
    assert found.warning == f"{NEWEST} belongs to another run or version"


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    save(tmp_path, 1)
    torch.save({"schema": 1, "run_key": "key", "path": Path("x")}, tmp_path / NEWEST)
    assert find_checkpoint(tmp_path, "key").state is None


def test_full_disk_is_reported_and_spares_what_is_there(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    match = r"checkpoint\.pt: cannot be written"
    with no_room_for(NEWEST), pytest.raises(RecordWriteError, match=match) as caught:
        save(tmp_path, 3)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert sorted(path.name for path in tmp_path.iterdir()) == [PREVIOUS, NEWEST]
    found = find_checkpoint(tmp_path, "key")
    assert found.state is not None
    assert found.state["number"] == 2
    save(tmp_path, 3)
    assert find_checkpoint(tmp_path, "key").warning is None


def test_removal_leaves_nothing(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    (tmp_path / f"{NEWEST}.tmp").write_bytes(b"torn")
    remove_checkpoints(tmp_path)
    remove_checkpoints(tmp_path)
    assert list(tmp_path.iterdir()) == []


def draw() -> list[float]:
    return [random.random(), numpy.random.rand(), numpy.random.randn(), torch.rand(1).item()]


def test_random_state_survives_a_checkpoint(tmp_path: Path) -> None:
    seed_everything(4)
    numpy.random.randn()  # leaves half of a pair of normal numbers behind
    save_checkpoint(tmp_path, "key", {"random": random_state()})
    expected = draw()
    seed_everything(5)
    assert draw() != expected
    found = find_checkpoint(tmp_path, "key")
    assert found.state is not None
    restore_random_state(found.state["random"])
    assert draw() == expected


def test_seed_determines_all_generators() -> None:
    seed_everything(7)
    expected = draw()
    seed_everything(7)
    assert draw() == expected


class Helper:
    pass


@pytest.mark.parametrize(
    ("state", "place"),
    [
        ({"optimizer": {"state": {0: {"helper": Helper()}}}}, "optimizer.state.0.helper: found "),
        ({"model": {"w._extra_state": (1, Helper())}}, r"model.w._extra_state\[1\]: found "),
        ({"optimizer": {"state": {Helper(): 1}}}, "optimizer.state, a key: found "),
        ({"optimizer": [numpy.float64(1.0)]}, r"optimizer\[0\]: found numpy.float64"),
        ({"optimizer": {"rule": save}}, "optimizer.rule: found builtins.function"),
    ],
)
def test_what_would_not_be_read_again_is_not_saved(
    state: dict[str, Any], place: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointRefused, match=f"checkpoint: {place}.* allowed in a state: tens"):
        save_checkpoint(tmp_path, "key", state)
    assert not list(tmp_path.iterdir())


def test_whatever_is_read_again_is_saved(tmp_path: Path) -> None:
    state = {
        "a": (1, 2.0, 1j, None, True, "x", b"y", {3}, torch.Size([2]), torch.float32),
        "b": OrderedDict(w=torch.nn.Parameter(torch.ones(2))),
        "d": {(1, "x"): torch.ones(3, dtype=torch.bfloat16), None: torch.device("cpu")},
    }
    save_checkpoint(tmp_path, "key", state)
    found = find_checkpoint(tmp_path, "key")
    assert found.warning is None
    assert found.state is not None
    assert found.state["a"] == state["a"]
    assert found.state["b"]["w"].tolist() == [1.0, 1.0]
    assert found.state["d"].keys() == state["d"].keys()
