"""The run directory: what a run writes while it trains, and how it is read back.

One run is one folder ``<records>/<experiment>/<run key>/`` of plain JSON files. It is the only
source of truth about a run: trackers, tables and figures are made from it and can be made again.
"""

from napts.records.condense import condense
from napts.records.damage import Damage, DamagedRun, NewerSchema
from napts.records.files import RecordWriteError
from napts.records.folder import read_runs
from napts.records.merge import MergeBusy, Merged, MergeReport, merge
from napts.records.packed import find_packed, load_packed, pack, unpack
from napts.records.read import (
    STATES,
    RecordError,
    RunRecord,
    RunStatus,
    find_runs,
    load_run,
    read_status,
)
from napts.records.run_lock import RunBusy, RunLock, is_locked

__all__ = [
    "STATES",
    "Damage",
    "DamagedRun",
    "MergeBusy",
    "MergeReport",
    "Merged",
    "NewerSchema",
    "RecordError",
    "RecordWriteError",
    "RunBusy",
    "RunLock",
    "RunRecord",
    "RunStatus",
    "condense",
    "find_packed",
    "find_runs",
    "is_locked",
    "load_packed",
    "load_run",
    "merge",
    "pack",
    "read_runs",
    "read_status",
    "unpack",
]
