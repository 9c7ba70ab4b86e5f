"""The tables of docs/reference/zoo.md: `python -m tests.zoo.table > docs/reference/zoo.md`."""

from collections.abc import Iterable, Iterator, Sequence

from tests.zoo.loops import LOOPS, Loop
from tests.zoo.row import METHODS as FOR_MODELS
from tests.zoo.row import Row
from tests.zoo.rows import ROWS
from tests.zoo.training import METHODS_OF_LOOPS

_INTRODUCTION = """\
# The zoo

These models and training loops are tried before every release, all with random weights and tiny
sizes, on one batch (`make zoo`).

- For every model, the local gradients at the iterate are those of the loss (in double precision,
  with a relative error below 1e-9), and with every method listed the loss falls by 2 % or more
  within 24 steps.
- A model with named cuts cannot be cut into that many blocks automatically; the error says so and
  suggests a cut that can be made.
- With every training loop and method, either the loss falls by 2 % within 8 steps ("trains"), or
  there is one clear error ("refused").

This page is written by `python -m tests.zoo.table > docs/reference/zoo.md`.

## Models

"""

_MIDDLE = """
"All" means {}.
Models with more than two million weights are trained by four of them, to save time. APTSW tries
one radius per step, and may warn that no step was accepted until it has found a good one.

## Training loops

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
    methods = "all" if row.methods == FOR_MODELS else ", ".join(row.methods)
    return row.name, row.family, str(row.blocks), _cut(row), methods, "; ".join(remarks)


def _of_loop(loop: Loop) -> tuple[str, ...]:
    return loop.name, *[_mark(loop, method) for method in METHODS_OF_LOOPS], loop.remark


def _mark(loop: Loop, method: str) -> str:
    if method in loop.methods:
        return "trains"
    return "refused" if method in loop.refusals else "—"


def page() -> str:
    """Return the page."""
    models = _table(
        ("model", "of", "blocks", "cut before", "trained by", "remarks"), map(_of_model, ROWS)
    )
    loops = _table(("loop", *METHODS_OF_LOOPS, "remarks"), map(_of_loop, LOOPS))
    middle = "\n" + _MIDDLE.format(", ".join(FOR_MODELS))
    return _INTRODUCTION + "\n".join(models) + middle + "\n".join(loops) + "\n"


if __name__ == "__main__":
    print(page(), end="")
