"""Options younger than a run: old and new runs of one setting are one setting."""

import json
from pathlib import Path

from benchmarks.made_runs import write_run
from napts.analysis import load_collection
from napts.experiment import method_named, method_names
from napts.records.younger import YOUNGER, with_younger_options


def test_absence_stands_for_the_default() -> None:
    later = {"APTSW", "APTSD", "DoG"}  # methods that are younger than these options
    for name, (value, methods) in YOUNGER.items():
        fields = {m: method_named(m).options.model_fields for m in method_names()}
        having = {method for method, own in fields.items() if name in own}
        assert having - (later - set(methods)) == set(methods), name
        assert all(fields[method][name].default == value for method in having)


def test_what_a_run_names_stays() -> None:
    spec = {"optimizer": {"method": "NAPTS", "retry": "shrink"}}
    found = with_younger_options(spec)["optimizer"]
    assert (found["retry"], found["shared_radius"]) == ("shrink", True)
    assert spec == {"optimizer": {"method": "NAPTS", "retry": "shrink"}}
    assert with_younger_options({"optimizer": {"method": "Adam"}})["optimizer"] == {
        "method": "Adam"
    }


def test_old_and_new_runs_have_one_label(tmp_path: Path) -> None:
    write_run(tmp_path, method="APTS", seed=0)
    write_run(tmp_path, method="APTS", seed=1, options={"retry": "mixture"})
    write_run(tmp_path, method="APTS", seed=2, options={"retry": "shrink"})
    labels = load_collection(tmp_path).sections[0].runs["label"].tolist()
    assert labels == ["APTS [retry=mixture]", "APTS [retry=mixture]", "APTS [retry=shrink]"]
    assert "retry" not in json.loads(next(tmp_path.glob("*/apts-s0-*/spec.json")).read_text())
