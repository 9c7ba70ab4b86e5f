"""Registries: filled when they are looked into, by what is built in and what is installed."""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from napts import registry
from napts.registry import Registry

MODULE = """
from tests.experiment.test_registry import REGISTRY
REGISTRY.register({name!r}, {name!r}.upper())
"""


def write(folder: Path, name: str, text: str = MODULE) -> str:
    (folder / f"{name}.py").write_text(text.format(name=name))
    return name


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("of_ours", "of_others"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


REGISTRY: Registry[str] = Registry("test", "napts.test")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "REGISTRY", Registry("test", "napts.test"))


def test_built_in_and_installed_modules_fill_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "BUILT_IN", {"test": (write(folder, "of_ours"),)})
    point = EntryPoint("any", write(folder, "of_others"), "napts.test")
    monkeypatch.setattr(registry, "entry_points", lambda *, group: [point][: group == point.group])
    REGISTRY.register("own", "OWN")
    assert "of_ours" not in sys.modules
    assert dict(REGISTRY) == {"own": "OWN", "of_ours": "OF_OURS", "of_others": "OF_OTHERS"}


def test_a_name_stands_for_one_thing() -> None:
    REGISTRY.register("a", "A")
    REGISTRY.register("a", "A")
    with pytest.raises(ValueError, match="test: 'a' is registered already"):
        REGISTRY.register("a", "B")


def test_a_module_that_fails_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = write(folder, "of_ours", "raise ImportError('not now')")
    monkeypatch.setattr(registry, "BUILT_IN", {"test": (name,)})
    for _ in range(2):
        with pytest.raises(ImportError, match="not now"):
            len(REGISTRY)
