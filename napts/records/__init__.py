"""The run directory: what a run writes while it trains, and how it is read back.

One run is one folder ``<records>/<experiment>/<run key>/`` of plain JSON files. It is the only
truth about a run: trackers, tables and figures are made from it and can be made again.
"""

from napts.records.condense import condense
from napts.records.files import RecordWriteError
from napts.records.lock import RunBusy, RunLock, is_locked
from napts.records.read import STATES, RecordError, RunRecord, find_runs, load_run

__all__ = [
    "STATES",
    "RecordError",
    "RecordWriteError",
    "RunBusy",
    "RunLock",
    "RunRecord",
    "condense",
    "find_runs",
    "is_locked",
    "load_run",
]
