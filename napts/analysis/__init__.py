"""From run directories to numbers: tidy frames, statistics over seeds, comparison tables.

Everything here reads only `napts.records`. The package imports pandas and SciPy, so training must
not import it; the command line does so when a report is asked for.
"""

from napts.extras import need

need("pandas", "scipy")

from napts.analysis.collection import Collection, Section, load_collection
from napts.analysis.frames import epochs_frame, runs_frame
from napts.analysis.statistics import Ratio, Summary, paired_difference, paired_ratio, summarise
from napts.analysis.summary import comparison, comparison_tables
from napts.analysis.tables import Table
from napts.analysis.target import TimeToTarget, time_to_target

__all__ = [
    "Collection",
    "Ratio",
    "Section",
    "Summary",
    "Table",
    "TimeToTarget",
    "comparison",
    "comparison_tables",
    "epochs_frame",
    "load_collection",
    "paired_difference",
    "paired_ratio",
    "runs_frame",
    "summarise",
    "time_to_target",
]
