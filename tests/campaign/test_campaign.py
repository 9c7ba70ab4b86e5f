"""The campaign itself: it hears what it is to hear, and its page says what its results say."""

import contextlib
import random
import socket
from pathlib import Path

from tests.campaign import mutations
from tests.campaign.children import napts
from tests.campaign.page import PAGE, with_tables


def test_the_page_has_the_committed_results() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_tables(text) == text


def test_tests_that_the_page_names_are_there() -> None:
    root = PAGE.parents[2]
    words = PAGE.read_text(encoding="utf-8").replace(",", " ").split()
    names = {word.strip("`|") for word in words if word.strip("`|").startswith("tests/")}
    assert names
    assert [name for name in names if not (root / name).exists()] == []


def test_mutations_are_a_function_of_the_seed() -> None:
    data = {"a": {"b": [1, 2.5, "c"]}, "d": True}
    first, again = (mutations.mutated(data, random.Random("x")) for _ in range(2))
    assert repr(first) == repr(again)
    changed = [mutations.mutated(data, random.Random(i))[0] != data for i in range(100)]
    assert sum(changed) > 90
    assert data == {"a": {"b": [1, 2.5, "c"]}, "d": True}


def test_what_a_child_does_elsewhere_is_heard(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()

    def stray() -> None:
        (inside / "file").touch()
        outside.touch()
        (inside / "link").symlink_to(outside)
        (inside / "link").write_text("through the link")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.connect(("127.0.0.1", 9))
            with contextlib.suppress(OSError):  # there may be no way to it
                link.connect(("192.0.2.1", 9))  # sends nothing

    ended = napts(["--version"], tmp_path, writable=[inside], disturb=stray)
    assert ended.code == 0
    assert ended.breaches == [f"open {outside}", "socket.connect '192.0.2.1'"]


def test_a_crash_is_heard(tmp_path: Path) -> None:
    def crash() -> None:
        import napts.cli

        napts.cli.program = lambda: 1 / 0

    assert napts(["--version"], tmp_path, disturb=crash).crashed
