"""The command line: parse, call, print.

Everything heavy is imported inside the commands, so that ``napts --help`` is immediate. What a
person got wrong is said in one line, with exit code 2.
"""

from napts.cli.commands import main

__all__ = ["main"]
