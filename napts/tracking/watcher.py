"""Following runs while they train: pass after pass until the training is over."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napts.tracking.import_lock import SyncBusy
from napts.tracking.importer import Importer, SyncReport, open_importer
from napts.tracking.store import TrackingUnavailable

INTERVAL_S = 5.0
LONGEST_PAUSE_S = 60.0
LONGEST_INTERVAL_S = 86_400.0
LAST_TRIES_S = 20.0
"""How long the store is retried after the training has ended, in seconds."""

_POLL_S = 0.1


@dataclass(frozen=True)
class WatchResult:
    """How watching ended.

    Attributes:
        passes: Passes that succeeded.
        failures: Passes that failed because the store was absent or busy.
        behind: Why MLflow lacks something that the records hold; None if it is complete.
    """

    passes: int
    failures: int
    behind: str | None


def watch(
    records_root: str | Path,
    tracking_uri: str | None = None,
    interval_s: float = INTERVAL_S,
    until: Callable[[], bool] | None = None,
    *,
    last_tries_s: float = LAST_TRIES_S,
    report: Callable[[SyncReport], None] | None = None,
) -> WatchResult:
    """Sync again and again; an absent store is retried at growing intervals.

    One line on standard error says when the store is lost and one when it is back.

    Args:
        records_root: A records folder.
        tracking_uri: MLflow's address; None for the SQLite store inside the folder.
        interval_s: Pause between two passes in seconds.
        until: Called several times a second; once it returns True, a last pass is made. None
            watches until the process is interrupted.
        last_tries_s: How long in seconds the last pass is retried if the store is absent.
        report: Called for every pass that succeeded.

    Returns:
        How it ended.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: ``interval_s`` is not positive.
    """
    if not 0 < interval_s <= LONGEST_INTERVAL_S:
        allowed = f"positive and at most {LONGEST_INTERVAL_S:.0f} seconds"
        raise ValueError(f"interval_s must be {allowed}, got {interval_s}")
    importer = open_importer(records_root, tracking_uri)
    return _Watch(importer, interval_s, until or (lambda: False), report).run(last_tries_s)


class _Watch:
    """The loop of `watch` with its bookkeeping."""

    def __init__(
        self,
        importer: Importer,
        interval_s: float,
        until: Callable[[], bool],
        report: Callable[[SyncReport], None] | None,
    ) -> None:
        self.importer = importer
        self.interval_s = interval_s
        self.until = until
        self.report = report
        self.passes = 0
        self.failures = 0
        self.outage = 0
        self.behind: str | None = None
        self.said: set[str] = set()

    def run(self, last_tries_s: float) -> WatchResult:
        ending = self.until()
        while not ending:
            self._try()
            ending = self._pause(self._wait_s())
        deadline = time.monotonic() + last_tries_s
        # What was written after the last pass began is only certain to be in one begun now.
        self._try()
        while self.outage and time.monotonic() < deadline:
            time.sleep(min(1.0, self.interval_s))
            self._try()
        return WatchResult(self.passes, self.failures, self.behind)

    def _try(self) -> None:
        try:
            report = self.importer.run_pass(lock_wait_s=self.interval_s)
        except (TrackingUnavailable, SyncBusy) as error:
            self.failures += 1
            self.outage += 1
            self.behind = str(error)
            if self.outage == 1:
                _say(f"MLflow is behind; the records are safe and will be sent later: {error}")
            return
        if self.outage:
            _say("MLflow answers again and has caught up")
        self.outage = 0
        self.passes += 1
        self.behind = report.problems[0] if report.problems else None
        for problem in report.problems:
            if problem not in self.said:
                _say(problem)
        self.said = set(report.problems)
        if self.report is not None:
            self.report(report)

    def _wait_s(self) -> float:
        doubled = self.interval_s * 2 ** min(self.outage, 10)
        return (
            min(doubled, max(LONGEST_PAUSE_S, self.interval_s))
            if self.outage
            else (self.interval_s)
        )

    def _pause(self, seconds: float) -> bool:
        """Wait for ``seconds`` or until asked to end; return whether that was asked for."""
        wake = time.monotonic() + seconds
        while not (ending := self.until()) and time.monotonic() < wake:
            time.sleep(_POLL_S)
        return ending


def _say(line: str) -> None:
    print(f"napts sync: {line}", file=sys.stderr, flush=True)
