"""Run a study within a time limit, and save its records, packed, after every run.

Usage: python reports/run_within.py STUDY RECORDS TARGET MINUTES [KEY=VALUE ...]

For a machine that is lent for a while: runs go seed by seed, so that what there was time for is a
comparison. At the limit the run in progress is interrupted; with the same arguments it goes on.
TARGET gets a file per experiment. KEY=VALUE replaces a value of the study, such as
execution.device=cpu.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from napts.experiment import RunOutcome, RunSpec, Study, load_spec, run
from napts.records.condense import condense_packed


def main() -> None:
    """Run what there is time for; exit with 1 if something is left to do."""
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    study, records, target = map(Path, sys.argv[1:4])
    end = time.monotonic() + 60 * float(sys.argv[4])
    spec = load_spec(study, sys.argv[5:])
    specs = spec.runs() if isinstance(spec, Study) else [spec]
    done = 0
    for spec in sorted(specs, key=lambda spec: spec.seed):
        if time.monotonic() >= end:
            break
        outcome = _run(spec, records, end - time.monotonic())
        condense_packed(records, target)
        done += outcome.state != "interrupted"
        print(f"{outcome.label} seed {spec.seed}: {outcome.state}", flush=True)
    print(f"{done} of {len(specs)} runs have ended")
    sys.exit(done < len(specs))


def _run(spec: RunSpec, records: Path, seconds: float) -> RunOutcome:
    """Run for so long at most."""
    limit = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
    limit.daemon = True
    limit.start()
    try:
        return run(spec, records)
    finally:
        limit.cancel()


if __name__ == "__main__":
    main()
