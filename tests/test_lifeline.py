"""Processes that end with the one that started them, however that ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from napts import lifeline
from tests.helpers.processes import is_alive, wait_until

CHILD = """
import os, signal, subprocess, sys, time
from napts.lifeline import follow
follow()
def polite(*_):
    open(sys.argv[1] + ".said", "w").close()
    os._exit(0)
signal.signal(signal.SIGTERM, polite)
grandchild = subprocess.Popen(["sleep", "600"])
with open(sys.argv[1] + ".new", "w") as file:
    print(os.getpid(), grandchild.pid, repr(sys.stdin.read()), file=file)
os.rename(sys.argv[1] + ".new", sys.argv[1])
while True:
    {work}
"""
PARENT = """
import subprocess, sys, time
from napts import lifeline
process = lifeline.start([sys.executable, "-c", *sys.argv[3:]], sys.argv[1])
other = subprocess.Popen(["sleep", "600"])  # it must not hold the other end of the pipe
open(sys.argv[2], "w").write(str(other.pid))
{end}
"""
WAITS = {"asleep": "time.sleep(600)", "at work": "sum(range(10**6))"}


@dataclass
class Family:
    """A process, what it has started by `lifeline.start`, and what that has; and another child."""

    folder: Path
    parent: subprocess.Popen[bytes]

    def numbers(self) -> tuple[int, int, int]:
        """Return the processes of child, grandchild and other child."""
        wait_until((self.folder / "child").exists, "the child to begin")
        child, grandchild, stdin = (self.folder / "child").read_text().split()
        assert stdin == "''", "there is nothing to read"
        return int(child), int(grandchild), int((self.folder / "other").read_text())

    @property
    def has_said(self) -> bool:
        """Whether the child has noticed SIGTERM."""
        return (self.folder / "child.said").exists()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Family]]:
    families: list[Family] = []

    def started(manner: str, *, end: str = "time.sleep(600)", work: str = "asleep") -> Family:
        names = [str(tmp_path / name) for name in ("other", "child")]
        code = [PARENT.format(end=end), manner, names[0], CHILD.format(work=WAITS[work]), names[1]]
        parent = subprocess.Popen([sys.executable, "-c", *code])
        families.append(Family(tmp_path, parent))
        return families[-1]

    yield started
    for family in families:
        for pid in family.numbers():
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        family.parent.kill()
        family.parent.wait()


@pytest.mark.parametrize("work", list(WAITS))
def test_at_once_means_all_that_it_has_started(start: Callable[..., Family], work: str) -> None:
    family = start("at once", work=work)
    child, grandchild, other = family.numbers()
    assert is_alive(child)
    family.parent.kill()
    family.parent.wait()
    wait_until(lambda: not is_alive(child) and not is_alive(grandchild), "both to end")
    assert not family.has_said
    assert is_alive(other), "what was started otherwise is left alone"


@pytest.mark.parametrize("end", ["time.sleep(600)", "raise SystemExit(3)", "import os; os.abort()"])
def test_in_good_order_is_as_by_sigterm(
    start: Callable[..., Family], tmp_path: Path, end: str
) -> None:
    begun = f"while not __import__('os').path.exists({str(tmp_path / 'child')!r}): time.sleep(0.05)"
    family = start("in good order", end=f"{begun}\n{end}")
    child, _, _ = family.numbers()
    if end == "time.sleep(600)":
        family.parent.kill()
    family.parent.wait()
    wait_until(lambda: not is_alive(child), "the child to end")
    assert family.has_said


def test_a_module_of_others_is_tied(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text("import sys, time\nprint(sys.argv)\ntime.sleep(600)\n")
    command = lifeline.tied([sys.executable, "-m", "theirs", "--port", "1"])
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    process = lifeline.start(command, "at once", env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == f"['{tmp_path}/theirs.py', '--port', '1']\n".encode()
    lifeline.let_go(process)
    assert process.wait(60) == -signal.SIGKILL
    process.stdout.close()
    with pytest.raises(ValueError, match="allowed: -m"):
        lifeline.tied(["theirs", "--port"])


def test_a_session_ends_as_a_whole() -> None:
    code = (
        "import subprocess as s; p = s.Popen(['sleep', '600']); print(p.pid, flush=True); p.wait()"
    )
    process = lifeline.start([sys.executable, "-c", code], "at once", stdout=subprocess.PIPE)
    assert process.stdout is not None
    grandchild = int(process.stdout.readline())
    lifeline.end_session(process)
    assert process.wait(60) == -signal.SIGKILL
    lifeline.let_go(process)
    process.stdout.close()
    wait_until(lambda: not is_alive(grandchild), "what it has started to end")


def test_a_process_that_was_started_otherwise_keeps_its_input() -> None:
    code = "from napts.lifeline import follow; follow(); print(input())"
    for more in ({}, {"NAPTS_LIFELINE": "at once"}):
        with Path(os.devnull).open() as nothing:
            ended = subprocess.run(
                [sys.executable, "-c", code.replace("input()", "'here'")],
                stdin=nothing,
                env={**os.environ, **more},
                capture_output=True,
                text=True,
                check=True,
            )
        assert ended.stdout == "here\n"
    ended = subprocess.run(
        [sys.executable, "-c", code], input="said\n", capture_output=True, text=True, check=True
    )
    assert ended.stdout == "said\n"
