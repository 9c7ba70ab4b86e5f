"""Options younger than a run: old and new runs of one setting are one setting."""

import gzip
import json
from pathlib import Path
from typing import Any

from benchmarks.made_runs import write_run
from napts.analysis import load_collection
from napts.experiment import RunSpec, method_named
from napts.experiment.methods import reference
from napts.records.absent_options import ABSENT_OPTIONS, with_absent_options

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "reports" / "records"


def test_table_and_page_are_up_to_date() -> None:
    """Written anew by `python -m napts.experiment.methods.reference`."""
    module = ROOT / reference.TABLE
    assert module.read_text() == reference.table(module.read_text())
    assert (ROOT / reference.PAGE).read_text() == reference.page()


def test_absence_stands_for_the_default() -> None:
    for name, (value, having) in ABSENT_OPTIONS.items():
        for method in having:
            assert method_named(method).options.model_fields[name].default == value
    assert {"order", "retry", "forced_as", "compile_local"} < set(ABSENT_OPTIONS)


def test_committed_runs_keep_their_keys() -> None:
    headers = []
    for path in RECORDS.glob("*.gz"):
        lines = gzip.decompress(path.read_bytes()).splitlines()
        headers += map(json.loads, lines)
    assert len(headers) > 1000
    changed = [h["run_key"] for h in headers if _key(h["spec"]) != h["run_key"]]
    assert not changed


def _key(spec: dict[str, Any]) -> str:
    return RunSpec.model_validate(spec).run_key


def test_what_a_run_names_stays() -> None:
    spec = {"optimizer": {"method": "NAPTS", "retry": "shrink"}}
    found = with_absent_options(spec)["optimizer"]
    assert (found["retry"], found["shared_radius"]) == ("shrink", True)
    assert spec == {"optimizer": {"method": "NAPTS", "retry": "shrink"}}
    assert with_absent_options({"optimizer": {"method": "Adam"}})["optimizer"] == {"method": "Adam"}


def test_old_and_new_runs_have_one_label(tmp_path: Path) -> None:
    write_run(tmp_path, method="APTS", seed=0)
    write_run(tmp_path, method="APTS", seed=1, options={"retry": "mixture"})
    write_run(tmp_path, method="APTS", seed=2, options={"retry": "shrink"})
    labels = load_collection(tmp_path).sections[0].runs["label"].tolist()
    assert labels == ["APTS [retry=mixture]", "APTS [retry=mixture]", "APTS [retry=shrink]"]
    assert "retry" not in json.loads(next(tmp_path.glob("*/apts-s0-*/spec.json")).read_text())
