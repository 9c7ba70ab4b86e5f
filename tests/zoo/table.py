"""The tables of docs/zoo.md: `python -m tests.zoo.table > docs/zoo.md`."""

from collections.abc import Iterable, Iterator, Sequence

from tests.zoo.loops import LOOPS, Loop
from tests.zoo.row import Row
from tests.zoo.rows import ROWS
from tests.zoo.training import FOR_MODELS, METHODS

_INTRODUCTION = """\
# The zoo

Models and training loops that are tried before every release (`make zoo`): all with random weights
and tiny sizes, on one batch. For every model the local gradients at the iterate are those of the
loss (double precision, relative error below 1e-9), and every method named takes steps that reduce
the loss. This page is written from the tables in `tests/zoo/` (`python -m tests.zoo.table >
docs/zoo.md`).

## Models

"""


def _table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'|'.join('---' for _ in header)}|"
    for line in lines:
        yield f"| {' | '.join(line)} |"


def _cut(row: Row) -> str:
    if isinstance(row.cuts, int):
        return "automatically"
    return ", ".join(f"`{name}`" for name in row.cuts)


def _of_model(row: Row) -> tuple[str, ...]:
    remarks = [row.note] if row.note else []
    if row.warns:
        remarks.append(f"a warning: `{row.warns}` is used outside of its block")
    return row.name, row.family, str(row.blocks), _cut(row), "; ".join(remarks)


def _of_loop(loop: Loop) -> tuple[str, ...]:
    marks = ["trains" if method in loop.methods else "refused" for method in METHODS]
    return loop.name, *marks


def page() -> str:
    """Return the page."""
    families = ", ".join(FOR_MODELS)
    models = _table(("model", "of", "blocks", "cut before", "remarks"), map(_of_model, ROWS))
    loops = _table(("loop", *METHODS), map(_of_loop, LOOPS))
    middle = f"\nAll are trained by {families}.\n\n## Training loops\n\n"
    return _INTRODUCTION + "\n".join(models) + "\n" + middle + "\n".join(loops) + "\n"


if __name__ == "__main__":
    print(page(), end="")
