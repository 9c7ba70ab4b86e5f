"""The user's own code: importing the named files and modules, and their digests."""

from napts.experiment.plugins.import_folders import PluginError
from napts.experiment.plugins.loading import Plugin, load, plugins_of, refuse_while_loading

__all__ = ["Plugin", "PluginError", "load", "plugins_of", "refuse_while_loading"]
