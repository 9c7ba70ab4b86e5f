"""Classes by import path: from where they are imported, and what they are asked before."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from napts.experiment.methods.installed import fitted, load_class
from napts.experiment.methods.path_options import check_path, check_plain

KEY = "optimizer.method"

SHADOW = """
from pathlib import Path
Path(__file__).with_name("executed").touch()
import torch
class Prodigy(torch.optim.SGD): ...
"""


def _load(path: str, base: type = torch.optim.Optimizer) -> type:
    return load_class(path, base, key=KEY)


@pytest.mark.parametrize("path", ["torch.optim.AdamW", "torch.optim.lr_scheduler.OneCycleLR"])
def test_classes_of_installed_packages(path: str) -> None:
    base = torch.optim.lr_scheduler.LRScheduler if "lr_" in path else torch.optim.Optimizer
    assert _load(path, base).__name__ == path.rpartition(".")[2]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("torch.optim.Moun", "which is nothing, did you mean Muon?"),
        ("torch.optim.adamw", "which is nothing, did you mean AdamW?"),
        ("torch.nn.Linear", "which is no Optimizer"),
        ("torch.nowhere.AdamW", "whose import fails: ModuleNotFoundError: No module named"),
        (
            "no_such_package.AdamW",
            "found 'no_such_package', which no package installed here provides",
        ),
        ("builtins.dict", "found 'builtins' in no file, allowed: installed packages"),
        ("antigravity_.X", "no package installed"),
    ],
)
def test_what_is_refused(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=KEY) as caught:
        _load(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["prodigyopt", "own_optimizers"])
@pytest.mark.parametrize("where", ["current", "path", "loaded"])
@pytest.mark.parametrize("shape", ["file", "folder"])
def test_nothing_is_executed_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, where: str, shape: str
) -> None:
    """Neither a file nor a folder with the name of a package, wherever Python would find it."""
    monkeypatch.setattr(sys, "modules", sys.modules.copy())
    sys.modules.pop(name, None)
    file = tmp_path / f"{name}.py" if shape == "file" else tmp_path / name / "__init__.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(SHADOW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("" if where == "current" else str(tmp_path))
    executed = file.with_name("executed")
    if where == "loaded":  # by somebody else, who is not to be trusted either
        importlib.import_module(name)
        executed.unlink()
    with pytest.raises(ValueError, match="allowed: installed packages; register your") as caught:
        _load(f"{name}.Prodigy")
    assert str(caught.value).startswith(f"{KEY}: found {name!r} in {tmp_path}")
    assert not executed.exists()


def test_a_baseline_that_is_missing_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napts.experiment.methods.installed.PathFinder.find_spec", lambda *_: None)
    monkeypatch.delitem(sys.modules, "prodigyopt", raising=False)
    with pytest.raises(ValueError, match="prodigyopt is not installed: pip install") as caught:
        _load("prodigyopt.Prodigy")
    assert "'napts[baselines]'" in str(caught.value)


class Taking(torch.optim.Optimizer):
    def __init__(
        self, params: Any, lr: float, betas: Any = (0.9, 0.99), *, layers: Any = None
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "layers": layers})


class TakingAll(torch.optim.Optimizer):
    def __init__(self, params: Any, **others: Any) -> None:
        super().__init__(params, others)


def test_arguments_fit_the_signature() -> None:
    given = {"lr": 1, "betas": [0.5, 0.6], "layers": [1, 2]}
    found = fitted(Taking, given, path="own.Taking", key="optimizer")
    assert found == {"lr": 1, "betas": (0.5, 0.6), "layers": [1, 2]}
    anything = {"whatever": 1}
    assert fitted(TakingAll, anything, path="own.TakingAll", key="optimizer") == anything


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lr": 1, "beta": 1}, "optimizer.beta: own.T has no such argument, did you mean betas?"),
        ({"LR": 1}, "optimizer.LR: own.T has no such argument, did you mean lr?"),
        (
            {"momentum": 1},
            "optimizer.momentum: own.T has no such argument, allowed: lr, betas, layers",
        ),
        ({"params": 1}, "optimizer.params: own.T has no such argument"),
        ({}, "optimizer.lr: missing, own.T needs it"),
    ],
)
def test_arguments_that_do_not_fit(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"own\.T") as caught:
        fitted(Taking, given, path="own.T", key="optimizer")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "path", ["", "Adam", "a..b", ".a", "a.", "a b.c", "1a.b", "a.b;c", "a/b.c"]
)
def test_what_is_no_import_path(path: str) -> None:
    with pytest.raises(ValueError, match="allowed: an import path such as torch"):
        check_path(path)


def test_own_methods_have_names() -> None:
    with pytest.raises(ValueError, match="allowed: 'TR', without the path"):
        check_path("napts.TR")


def test_what_cannot_stand_in_a_record() -> None:
    check_plain("x", {"a": [1, 2.5, "b", None, [True]]})
    with pytest.raises(ValueError, match=r"x\.a: found inf, allowed: finite numbers"):
        check_plain("x", {"a": [float("inf")]})
    with pytest.raises(ValueError, match=r"x: found .*datetime.*, allowed: numbers, strings"):
        check_plain("x", __import__("datetime").datetime(2026, 1, 1))


def test_a_folder_that_is_only_called_like_one_of_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has to hold the metadata of the distribution that brought the package."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "evil.py").write_text(SHADOW)
    (folder / "other-1.0.dist-info").mkdir()
    (folder / "other-1.0.dist-info" / "METADATA").write_text("Name: other\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(ValueError, match=f"found 'evil' in {folder}.*allowed: installed"):
        _load("evil.Prodigy")
    assert not (folder / "executed").exists()
    (folder / "other-1.0.dist-info" / "RECORD").write_text("evil.py,,\n")
    importlib.invalidate_caches()
    assert _load("evil.Prodigy").__name__ == "Prodigy"
    del sys.modules["evil"]
