"""Runs some of the asv benchmarks in this process and prints their values as JSON; for the gate.

    python -m benchmarks.worker REGEX

The package is whatever ``import napts`` finds. Prints a line of JSON for each benchmark and set of
parameters: ``name``, ``kind`` ("time", in seconds, or "track"), ``unit``, ``value`` or ``error``.
"""

import contextlib
import json
import re
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KINDS = ("time", "track")


def run(pattern: str) -> Iterator[dict[str, Any]]:
    """Run the benchmarks whose full name, such as ``"steps.StepTime.time_step('a', 1)"``, matches.

    Args:
        pattern: Regular expression, searched for.
    """
    from asv_runner.discovery import disc_benchmarks

    wanted, caches = re.compile(pattern), {}
    for benchmark in disc_benchmarks(str(Path(__file__).parent)):
        if benchmark is None or benchmark.type not in KINDS:
            continue
        for index, name in _cases(benchmark):
            if wanted.search(name):
                yield {"name": name, **_run_one(benchmark, index, caches)}


def _cases(benchmark: Any) -> Iterator[tuple[int, str]]:
    """Yield index and full name for each set of parameters."""
    if not benchmark._params:
        yield 0, benchmark.name
        return
    for index in range(_product(benchmark._params)):
        benchmark.set_param_idx(index)
        shown = ", ".join(map(repr, benchmark._current_params))
        yield index, f"{benchmark.name}({shown})"


def _product(params: Any) -> int:
    total = 1
    for values in params:
        total *= len(values)
    return total


def _run_one(benchmark: Any, index: int, caches: dict[str, Any]) -> dict[str, Any]:
    found = {"kind": benchmark.type, "unit": getattr(benchmark, "unit", "")}
    try:
        if benchmark._params:
            benchmark.set_param_idx(index)
        key = benchmark.setup_cache_key
        if key is not None and key not in caches:
            caches[key] = benchmark.do_setup_cache()
        benchmark.set_cache(None if key is None else caches[key])
        if benchmark.do_setup():
            return {**found, "error": "skipped"}
        try:
            result = benchmark.do_run()
        finally:
            benchmark.do_teardown()
    except Exception as error:
        return {**found, "error": f"{type(error).__name__}: {error}"}
    return {**found, "value": statistics.median(result["samples"]) if _is_time(result) else result}


def _is_time(result: Any) -> bool:
    return isinstance(result, dict) and "samples" in result


def main() -> None:
    """Print the results, one a line, as they come."""
    for result in run(sys.argv[1] if len(sys.argv) > 1 else ""):
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(ImportError):  # a base from before there was one
        from napts.lifeline import follow

        follow()
    main()
