"""A local job's process: ``python -m napts.launch.worker JOBFILE``."""

import json
import sys
from pathlib import Path

from napts.launch.job import RunsFailed, SweepJob


def main(path: str) -> int:
    """Run the job that a file describes.

    Args:
        path: A JSON file with the fields of a :class:`SweepJob`.

    Returns:
        Exit code.
    """
    fields = json.loads(Path(path).read_text(encoding="utf-8"))
    job = SweepJob(**{**fields, "specs": tuple(fields["specs"])})
    try:
        job()
    except RunsFailed as error:
        print(f"napts: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
