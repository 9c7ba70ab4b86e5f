"""Run a study within a time limit, and save its records, packed, after every run.

Usage: python reports/run_within.py STUDY RECORDS TARGET MINUTES [KEY=VALUE ...]

For a machine that is lent for a while: runs go seed by seed, so that what there was time for is a
comparison. At the limit, or if it is told to end, the run in progress is interrupted; with the same
arguments it goes on, on another machine too if TARGET is there. TARGET gets a file per experiment.
KEY=VALUE replaces a value of the study, such as execution.device=cpu.

It exits with 0 if all runs have ended, 1 if something is left to do, 2 if it cannot begin.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from napts.experiment import RunOutcome, RunSpec, Study, load_spec, run_all
from napts.records import unpack
from napts.records.condense import condense_packed
from napts.records.packed import SUFFIX


def main() -> None:
    """Run what there is time for."""
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # between runs; runs have their own
    study, records, target = map(Path, sys.argv[1:4])
    try:
        end = time.monotonic() + 60 * float(sys.argv[4])
        spec = load_spec(study, sys.argv[5:])
        specs = spec.runs() if isinstance(spec, Study) else [spec]
        saved = target / f"{specs[0].experiment}{SUFFIX}"
        if saved.exists():
            unpack(saved, records)
        done = _run_until(end, sorted(specs, key=lambda spec: spec.seed), records, target)
    except (OSError, ValueError) as error:
        print(f"run_within: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"{done} of {len(specs)} runs have ended")
    sys.exit(done < len(specs))


def _run_until(end: float, specs: list[RunSpec], records: Path, target: Path) -> int:
    """Run one after the other, and return how many have ended."""
    done = 0
    for spec in specs:
        if time.monotonic() >= end:
            break
        outcome = _run(spec, records, end - time.monotonic())
        if outcome is None:
            break
        condense_packed(records / spec.experiment, target)
        print(f"{outcome.label} seed {spec.seed}: {outcome.state}", flush=True)
        if outcome.state == "interrupted":
            break
        done += 1
    return done


def _run(spec: RunSpec, records: Path, seconds: float) -> RunOutcome | None:
    """Run for so long at most; None if it was told to end before it could begin."""
    limit = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
    limit.daemon = True
    limit.start()
    try:
        outcomes = run_all([spec], records)
    except KeyboardInterrupt:
        return None
    finally:
        limit.cancel()
    return outcomes[0] if outcomes else None


if __name__ == "__main__":
    main()
