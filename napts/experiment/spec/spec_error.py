"""The problems of a spec, in lines that fit on a screen."""

import itertools
from collections.abc import Iterable

from napts.text import LINE, one_line, placed

_PREFIX = len("napts: ")  # before the first line, on the command line
_MOST = 8
"""Number of problems reported; thousands of unknown keys have one cause."""


class SpecError(ValueError):
    """A spec is invalid; one line per problem.

    Attributes:
        problems: The lines: where, what was found, what is allowed; only the first few of many.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        lines = iter(problems)
        self.problems = [one_line(line, LINE - _PREFIX) for line in itertools.islice(lines, _MOST)]
        if next(lines, None) is not None:
            self.problems.append("and more of them")
        super().__init__("\n".join(self.problems))


def spec_error(place: object, problem: str) -> SpecError:
    """Return the error of a spec that has one problem.

    Args:
        place: The file, or where the spec came from; shortened if long.
        problem: What was found, and what is allowed.
    """
    return SpecError([spec_line(place, problem)])


def spec_line(place: object, problem: str) -> str:
    """Return the line for one of several problems; arguments as for :func:`spec_error`."""
    return placed(place, problem, LINE - _PREFIX)
