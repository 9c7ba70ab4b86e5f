"""What slurm/local_cluster.sh finds in the place of its folder; needs no Slurm and starts none."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.slurm.conftest import SCRIPT, script

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Slurm is at home on Linux")

COMMANDS = ("down", "status", "up")
MARK = "made-by-local_cluster"
SENTENCE = "a cluster of slurm/local_cluster.sh in"
NOBODY = 65534

Starter = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Starter]:
    """Start processes that do nothing, under any name, and end them."""
    running: list[subprocess.Popen[bytes]] = []

    def started(program: Path | str = "sleep", **variables: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([str(program), "600"], env={**os.environ, **variables})
        running.append(process)
        return process

    yield started
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def made() -> Iterator[Path]:
    """A folder as `up` makes it, of a cluster that has ended; its path is short, as it must be."""
    with tempfile.TemporaryDirectory(prefix="napts-", ignore_cleanup_errors=True) as parent:
        folder = Path(parent) / "made"
        folder.mkdir(0o700)
        (folder / MARK).write_text(f"{SENTENCE} {folder}\n")
        (folder / "run").mkdir()
        yield folder


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return all that a folder holds, with the modes."""
    found = [folder, *sorted(folder.rglob("*"))]
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in found
    }


def born(process: subprocess.Popen[bytes]) -> str:
    text = Path(f"/proc/{process.pid}/stat").read_text()
    return text.rpartition(")")[2].split()[19]


def note(folder: Path, name: str, process: subprocess.Popen[bytes], start: str = "") -> None:
    """Write down that a process is a daemon of the folder's cluster."""
    (folder / "run" / name).write_text(f"{process.pid} {start or born(process)}\n")


def refused(*arguments: str, because: str) -> None:
    """Run the script, which has to refuse in one line."""
    told = script(*arguments)
    assert told.returncode == 2, told
    assert told.stdout == ""
    assert told.stderr.count("\n") == 1
    assert because in told.stderr
    assert len(told.stderr) <= 200 + len(str(arguments[-1]))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_link_is_refused(command: str, tmp_path: Path, made: Path) -> None:
    """Whatever it leads to: a stranger's folder, a cluster's, nothing."""
    victim = tmp_path / "victim"
    (victim / "run").mkdir(parents=True)
    (victim / "thesis.tex").write_text("years of work")
    before = contents(victim), contents(made)
    for number, target in enumerate((victim, made, tmp_path / "nothing")):
        link = tmp_path / f"link{number}"
        link.symlink_to(target)
        slash = "/" if number == 0 else ""  # by which a link is followed
        refused(command, "--dir", f"{link}{slash}", because="found a symbolic link")
    assert (contents(victim), contents(made)) == before


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "mark", [None, "a cluster of slurm/local_cluster.sh in /elsewhere\n", "\0"]
)
def test_a_folder_without_the_mark_is_refused(command: str, mark: str | None, made: Path) -> None:
    (made / MARK).unlink()
    if mark is not None:
        (made / MARK).write_text(mark)
    before = contents(made)
    refused(command, "--dir", str(made), because="found a folder that this script has not made")
    assert contents(made) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_mark_that_is_a_link_is_refused(command: str, tmp_path: Path, made: Path) -> None:
    (made / MARK).rename(tmp_path / "mark")
    (made / MARK).symlink_to(tmp_path / "mark")
    refused(command, "--dir", str(made), because="found a folder that this script has not made")
    assert (made / "run").is_dir()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_others_can_enter_is_refused(command: str, made: Path) -> None:
    made.chmod(0o750)
    before = contents(made)
    refused(command, "--dir", str(made), because="found a folder of mode 750")
    assert contents(made) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_of_another_user_is_refused(command: str, made: Path) -> None:
    if os.geteuid() == 0:
        os.chown(made, NOBODY, NOBODY)
    folder = made if os.geteuid() == 0 else Path("/usr")
    owner = folder.stat().st_uid
    refused(command, "--dir", str(folder), because=f"found a folder of user {owner}")
    assert (made / "run").is_dir()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_is_refused(command: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("text")
    refused(command, "--dir", str(file), because="found a file")
    assert file.read_text() == "text"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_place_where_others_can_write_is_refused(command: str, made: Path) -> None:
    """They could put another folder there, between any look and any deed."""
    made.parent.chmod(0o777)
    refused(command, "--dir", str(made), because=f"others can write to {made.parent}")
    made.parent.chmod(stat.S_ISVTX | 0o777)
    assert script("down", "--dir", str(made)).returncode == 0


@pytest.mark.parametrize(
    "path",
    [
        *("/", ".", "..", "sub/..", "//", "with space", "new\nline", "quo'te", "$(id)", "a;b"),
        "long" * 25,
    ],
)
def test_a_path_that_cannot_be_is_refused(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused("down", "--dir", path, because="--dir: found ")
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_is_not_started_in_a_folder_that_is_missing() -> None:
    with tempfile.TemporaryDirectory(prefix="napts-") as short:  # as a cluster's path must be
        refused("up", "--dir", f"{short}/missing/folder", because="a folder that is there")
        assert not os.listdir(short)


@pytest.mark.parametrize("number", ["0", "many", "1e3", "a[$(touch here)]", "1000"])
def test_a_number_of_nodes_is_a_number(
    number: str, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made.parent)
    monkeypatch.setenv("NAPTS_SLURM_NODES", number)
    refused("status", "--dir", str(made), because="NAPTS_SLURM_NODES: found ")
    assert list(made.parent.iterdir()) == [made]


def test_nobody_else_can_write_where_the_folder_is_by_default() -> None:
    (line,) = [x for x in SCRIPT.read_text().splitlines() if x.startswith("readonly DEFAULT_DIR=")]
    for parent in Path(line.partition("=")[2]).parents:
        state = parent.stat()
        assert state.st_uid == 0
        assert not state.st_mode & 0o022


@pytest.mark.parametrize("command", COMMANDS)
def test_a_number_of_another_process_is_refused(
    command: str, start: Starter, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its number nor its start time makes a process a daemon, nor half of what does."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # whether Slurm is installed comes after that
    configuration = f"{made}/slurm.conf"
    lookalike = tmp_path / "munged"
    shutil.copy(shutil.which("sleep") or "", lookalike)
    for name, process in (
        ("munged", start()),
        (
            "mariadbd",
            start(SLURM_CONF=configuration),
        ),  # as a person's shell
        ("n1", start(lookalike, SLURM_CONF=configuration)),  # another daemon than it should be
        ("munged", start(lookalike)),
    ):
        note(made, name, process)
        before = contents(made)
        refused(command, "--dir", str(made), because=f"run/{name}: found process {process.pid}")
        assert contents(made) == before
        assert process.poll() is None
        (made / "run" / name).unlink()


def test_a_number_that_has_gone_to_another_process_is_old(start: Starter, made: Path) -> None:
    process = start(SLURM_CONF=f"{made}/slurm.conf")
    note(made, "munged", process, start="1")
    (made / "run" / "slurmctld").write_text("")
    (made / "run" / "slurmdbd").write_text("-1 x\n")
    told = script("status", "--dir", str(made))
    assert told.returncode == 1
    assert told.stdout.count(": down") == 8
    assert script("down", "--dir", str(made)).returncode == 0
    assert process.poll() is None
    assert not made.exists()


def test_what_is_of_the_cluster_ends(start: Starter, made: Path, tmp_path: Path) -> None:
    """A daemon, with or without its file, and a job; not what is of another cluster."""
    daemon = tmp_path / "munged"
    shutil.copy(shutil.which("sleep") or "", daemon)
    mine, other = {"SLURM_CONF": f"{made}/slurm.conf"}, {"SLURM_CONF": f"{made}2/slurm.conf"}
    noted, stray = start(daemon, **mine), start(daemon, **mine)
    job = start(SLURM_CLUSTER_NAME="napts", **mine)
    foreign = [start(daemon, **other), start(SLURM_CLUSTER_NAME="napts", **other)]
    note(made, "munged", noted)
    assert "munged: up" in script("status", "--dir", str(made)).stdout
    assert script("down", "--dir", str(made)).returncode == 0
    for process in (noted, stray, job):
        process.wait(60)
    assert [process.poll() for process in foreign] == [None, None]
    assert not made.exists()


@pytest.mark.parametrize("parent", ["", "there/"])
def test_down_ends_what_a_deleted_folder_has_left(
    start: Starter, tmp_path: Path, parent: str
) -> None:
    """Also if all around it has been deleted with it."""
    folder = tmp_path / f"{parent}gone"
    job = start(SLURM_CLUSTER_NAME="napts", SLURM_CONF=f"{folder}/slurm.conf")
    assert script("down", "--dir", str(folder)).returncode == 0
    job.wait(60)


def test_down_follows_no_link_out_of_the_folder(made: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("text")
    (made / "log").symlink_to(tmp_path)
    assert script("down", "--dir", str(made)).returncode == 0
    assert (tmp_path / "victim").read_text() == "text"
