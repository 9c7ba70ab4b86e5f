"""The version, alone in its module so that packaging reads it without importing torch."""

__version__ = "0.2.0"
