"""Files and modules that are imported because they were named: what is found, refused, digested."""

import hashlib
import os
import py_compile
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from napts.experiment.plugins import import_folders, loading, own_code
from napts.experiment.plugins.loading import PluginError, load


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of a test is left in the process."""
    modules, finders = dict(sys.modules), list(sys.meta_path)
    monkeypatch.setattr(loading, "_plugins", {})
    monkeypatch.setattr(import_folders, "_behind", {})
    monkeypatch.setattr(loading, "_fresh", set())
    yield
    sys.meta_path[:] = finders
    for name in set(sys.modules) - set(modules):
        if own_code.file_of(sys.modules[name]) is not None:
            del sys.modules[name]


def quiet(line: str) -> None:
    """Not every file of these tests registers something."""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_file_with_helpers_beside_it(tmp_path: Path) -> None:
    files = {
        "my-wine.py": "import nets.fcn\nfrom helper import size\nimport numpy, json\n",
        "helper.py": "size = 3\n",
        "nets/__init__.py": "",
        "nets/fcn.py": "def later():\n    from . import lazy\n    return lazy.width\n",
        "nets/lazy.py": "width = 4\n",
        "unused.py": "",
    }
    write(tmp_path, files)
    digests = load([str(tmp_path / "my-wine.py")], quiet)
    assert digests == {name: sha(text) for name, text in files.items() if name != "unused.py"}
    assert sys.modules["my_wine"].size == 3
    assert sys.modules["nets.fcn"].later() == 4, "what is imported later is found, too"


def test_what_a_file_imports_by_a_computed_name_is_its_code(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "import importlib\nimportlib.import_module('b' + '1')\n", "b1.py": ""})
    assert set(load([str(tmp_path / "a.py")], quiet)) == {"a.py", "b1.py"}


def test_a_second_import_executes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"wine.py": "import builtins\nbuiltins.times = builtins.times + 1\n"})
    monkeypatch.setattr("builtins.times", 0, raising=False)
    monkeypatch.chdir(tmp_path)
    first = load(["wine.py"], quiet)
    assert load([str(tmp_path / "wine.py"), "./wine.py"], quiet) == first
    assert sys.modules["builtins"].times == 1  # type: ignore[attr-defined]


def test_two_files_with_one_name(tmp_path: Path) -> None:
    write(
        tmp_path, {"a/wine.py": "x = 'a'\n", "b/wine.py": "x = 'b'\n", "c/random.py": "x = 'c'\n"}
    )
    digests = load(
        [str(tmp_path / part) for part in ("a/wine.py", "b/wine.py", "c/random.py")], quiet
    )
    assert [sys.modules[name].x for name in ("wine", "wine_2", "random_2")] == ["a", "b", "c"]
    assert len(digests) == 3
    import random

    assert random.random() < 1, "the standard library's is the standard library's"


def test_the_digests_do_not_tell_what_else_was_imported_before(tmp_path: Path) -> None:
    texts = {"one/problem.py": "x = 1\n", "two/problem.py": "x = 2\n"}
    write(tmp_path, texts)
    first, second = (str(tmp_path / name) for name in texts)
    assert load([first], quiet) == {"problem.py": sha("x = 1\n")}
    assert load([second], quiet) == {"problem.py": sha("x = 2\n")}
    assert load([first, second], quiet) == load([second, first], quiet)
    assert len(load([first, second], quiet)) == 2


def test_two_helpers_with_one_name_are_refused(tmp_path: Path) -> None:
    """Otherwise the second file would be given the first one's, without a word."""
    files = {"a/one.py": "import helper\n", "a/helper.py": "", "b/two.py": "import helper\n"}
    write(tmp_path, {**files, "b/helper.py": ""})
    load([str(tmp_path / "a/one.py")], quiet)
    with pytest.raises(PluginError, match=r"module helper: found .*a/helper.py and .*b/helper.py"):
        load([str(tmp_path / "b/two.py")], quiet)
    assert sys.modules["helper"].__file__ == str(tmp_path / "a/helper.py")


def test_a_module_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"mine/__init__.py": "", "mine/problems.py": "from mine import nets\n"}
    write(tmp_path, {**files, "mine/nets.py": "", "mine/other.py": ""})
    monkeypatch.chdir(tmp_path)
    digests = load(["mine.problems"], quiet)
    assert set(digests) == {"mine/__init__.py", "mine/problems.py", "mine/nets.py"}


def test_an_installed_module_has_no_digest() -> None:
    assert load(["numpy.linalg"], quiet) == {}


def test_an_edit_is_seen_though_size_and_time_are_the_same(tmp_path: Path) -> None:
    """A compiled copy of the file before the edit would be taken for current."""
    write(tmp_path, {"wine.py": "import helper\n", "helper.py": "x = 1\n"})
    times = os.stat(tmp_path / "helper.py")

    def loaded() -> tuple[int, str]:
        digests = load([str(tmp_path / "wine.py")], quiet)
        return sys.modules["helper"].x, digests["helper.py"]

    # Such a copy is made by whoever imports it otherwise.
    py_compile.compile(str(tmp_path / "helper.py"))
    write(tmp_path, {"helper.py": "x = 2\n"})
    os.utime(tmp_path / "helper.py", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert loaded() == (2, sha("x = 2\n"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\ndef f(:\n", r"wine.py:2: SyntaxError: invalid syntax"),
        ("x = 1\n\nprint(y)\n", r"wine.py:3: NameError: name 'y' is not defined"),
        ("import json\njson.loads('')\n", r"wine.py:2: JSONDecodeError: Expecting value"),
        ("import helper\n", r"helper.py:1: ZeroDivisionError: division by zero"),
        ("import nowhere\n", r"wine.py:1: ModuleNotFoundError: No module named 'nowhere'"),
        ("raise SystemExit(3)\n", r"wine.py:1: SystemExit: 3"),
        ("raise ValueError('a\\nb')\n", r"wine.py:1: ValueError: a"),
    ],
)
def test_errors_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    write(tmp_path, {"wine.py": text, "helper.py": "1 / 0\n"})
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # the second time likewise: nothing half imported is left
        with pytest.raises(PluginError, match=f"^{told}") as caught:
            load(["wine.py"], quiet)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("nowhere.py", "nowhere.py: found no such file"),
        ("./nowhere", "./nowhere: found no such file"),
        ("nowhere", "nowhere: found no such module"),
        ("numpy.nowhere", "numpy.nowhere: ModuleNotFoundError"),
        ("not a name", "'not a name': found neither a file nor a module"),
    ],
)
def test_what_is_missing_is_named(given: str, told: str) -> None:
    with pytest.raises(PluginError, match=told):
        load([given], quiet)


def test_nothing_registered_is_told(tmp_path: Path) -> None:
    write(tmp_path, {"wine.py": ""})
    told: list[str] = []
    load([str(tmp_path / "wine.py")], told.append)
    assert told == [f"{tmp_path / 'wine.py'}: registered neither a problem nor a method"]
    load([str(tmp_path / "wine.py")], told.append)
    assert len(told) == 1


def test_modules_may_come_while_others_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread imports meanwhile, or a lazy module imports as soon as it is looked at."""
    write(tmp_path, {"mine.py": "import helper", "helper.py": "value = 1"})
    original, late = own_code.file_of, iter(range(10**6))

    def looking(module: ModuleType) -> Path | None:
        name = f"late_{next(late)}"
        if len(sys.modules) < 10**5:
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        return original(module)

    monkeypatch.setattr(own_code, "file_of", looking)
    assert set(load([str(tmp_path / "mine.py")], quiet)) == {"mine.py", "helper.py"}
