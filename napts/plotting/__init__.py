"""Figures, tables and the one-page report, made from records alone.

Matplotlib and seaborn are imported by the modules of this package and nowhere else.
"""

from napts.extras import need

need("matplotlib", "seaborn", "pandas", "scipy")

from napts.plotting.registry import REPORTS, Report, register_report
from napts.plotting.report import render, write_report

__all__ = ["REPORTS", "Report", "register_report", "render", "write_report"]
