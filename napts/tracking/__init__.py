"""MLflow: a browsable copy of the run directories, made beside the training and never inside it.

Training writes run directories and knows nothing about MLflow. One process at a time copies them
into a store (`sync`, `watch`), as often as it likes: a complete copy is left alone, and a store
that was absent, slow or lost is filled again from the records.

Importing this package does not import MLflow; the functions do so when they are called.
"""

from napts.tracking.background import Watcher, start_watcher
from napts.tracking.import_lock import SyncBusy
from napts.tracking.importer import SyncReport, sync
from napts.tracking.store import TrackingUnavailable, default_tracking_uri
from napts.tracking.sweep import attach_artifacts
from napts.tracking.ui import serve_ui, ui_command
from napts.tracking.watcher import WatchResult, watch

__all__ = [
    "SyncBusy",
    "SyncReport",
    "TrackingUnavailable",
    "WatchResult",
    "Watcher",
    "attach_artifacts",
    "default_tracking_uri",
    "serve_ui",
    "start_watcher",
    "sync",
    "ui_command",
    "watch",
]
