"""The old place of :mod:`napts.experiment.method_options`."""

from napts.experiment.method_options import Options

__all__ = ["Options"]
