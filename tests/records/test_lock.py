import errno
import os
from pathlib import Path

import pytest

from napts.records import RunBusy, RunLock, is_locked
from napts.records.files import RecordWriteError


def test_lock_excludes_and_is_given_back(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    with RunLock(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(RunBusy, match=f"process {os.getpid()} on .* nothing was done"):
            RunLock(tmp_path).__enter__()
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)
    with RunLock(tmp_path):
        assert is_locked(tmp_path)


def test_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), RunLock(tmp_path):
        raise ZeroDivisionError
    assert not is_locked(tmp_path)


def test_probing_does_not_turn_a_run_away(tmp_path: Path) -> None:
    import fcntl
    import threading

    (tmp_path / "lock").touch()
    descriptor = os.open(tmp_path / "lock", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    release = threading.Timer(0.05, os.close, [descriptor])
    release.start()
    with RunLock(tmp_path):
        assert is_locked(tmp_path)
    release.join()


def test_a_full_disk_is_told_and_leaves_no_lock(tmp_path: Path, monkeypatch) -> None:
    def write(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "write", write)
        with pytest.raises(RecordWriteError, match=r"lock: cannot be written, No space left"):
            RunLock(tmp_path).__enter__()
    assert not is_locked(tmp_path)
