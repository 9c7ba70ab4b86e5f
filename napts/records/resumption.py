"""Whether the rows that a run needs to resume from a checkpoint are there."""

from pathlib import Path

from napts.records.damage import DamagedRun, NewerSchema, RecordError, check_order
from napts.records.layout import EPOCHS
from napts.records.read import load_run, read_epochs, read_header, read_steps
from napts.records.step_rows import StepRecording, check_steps


def check_before(directory: Path, epoch: int, step: int) -> None:
    """Look for every row that was written before a checkpoint.

    Args:
        directory: The run directory.
        epoch: Epochs finished by then.
        step: Steps done in the next epoch by then.

    Raises:
        DamagedRun: One is missing, or a file is damaged.
    """
    rows, restarts = read_epochs(directory)
    epochs = [row for row in rows if row["epoch"] <= epoch]
    check_order(directory / EPOCHS, epochs, epoch)
    before = [
        row
        for row in read_steps(directory, restarts)
        if row["epoch"] <= epoch or (row["epoch"] == epoch + 1 and row["step"] <= step)
    ]
    attempt = restarts[-1]["attempt"] if restarts else 1
    running = {"epoch": epoch + 1, "batches": step, "attempt": attempt}
    recording = StepRecording(_spec_of(directory), restarts)
    check_steps(directory, before, [*epochs, running], recording)


def _spec_of(directory: Path) -> dict[str, object]:
    try:
        return read_header(directory)["spec"]
    except NewerSchema:
        raise
    except RecordError:
        return {}


def problem_of(directory: Path) -> str | None:
    """Return what is wrong with a run's records, None if nothing is wrong or nothing is there.

    Args:
        directory: The run directory.

    Raises:
        NewerSchema: A file is of a later version of the format.
    """
    try:
        load_run(directory)
    except DamagedRun as error:
        return str(error).removeprefix(f"{directory}/")
    except NewerSchema:
        raise
    except RecordError:
        return None
    return None
