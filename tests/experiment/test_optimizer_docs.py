"""The examples of docs/reference/optimizers.md, as written."""

from pathlib import Path

import pytest

from napts.experiment import Study, load_spec
from napts.experiment.methods import foreign
from napts.launch.space_file import load_space
from tests.helpers.pages import code

PAGE = "reference/optimizers.md"


def test_the_studies(tmp_path: Path) -> None:
    pytest.importorskip("prodigyopt")
    pytest.importorskip("schedulefree")
    studies = code(PAGE, "toml")
    assert len(studies) == 3
    for block in studies:
        (tmp_path / "study.toml").write_text(block)
        study = load_spec(tmp_path / "study.toml")
        assert isinstance(study, Study)
        for run in study.runs():
            foreign.check(run.optimizer)


def test_the_space(tmp_path: Path) -> None:
    (block,) = code("howto/tuning.md", "toml")
    (tmp_path / "space.toml").write_text(block)
    cells = load_space(tmp_path / "space.toml", samples=None).cells()
    assert len(cells) == 6
    assert all(cell["amsgrad"] is True and 1e-4 <= cell["lr"] <= 0.1 for cell in cells)


def test_the_code() -> None:
    (block,) = code(PAGE, "python")
    names: dict[str, object] = {}
    exec(block, names)
    record = names["optimizer"].last_step  # type: ignore[attr-defined]
    assert record.forwards == record.backwards == 1
