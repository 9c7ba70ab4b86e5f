"""asv: the harness around training - records, figures, start-up."""

import shutil
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from benchmarks.made_runs import write_comparison


class Records:
    """Five hundred rows of steps, and reading 21 runs."""

    timeout = 120

    def setup(self) -> None:
        from napts.records.write import RunWriter

        self._folder = Path(tempfile.mkdtemp(prefix="napts-bench-"))
        write_comparison(self._folder / "records", epochs=30)
        run = self._folder / "run"
        run.mkdir()
        self._writer = RunWriter(run, 10)
        self._rows = [
            {"epoch": 0, "step": i, "loss": 0.1, "radius_before": 0.5} for i in range(500)
        ]

    def teardown(self) -> None:
        self._writer.close()
        shutil.rmtree(self._folder)

    def time_write_steps(self) -> None:
        self._writer.steps(self._rows)
        self._writer.sync()

    def time_read_comparison(self) -> None:
        from napts.analysis import load_collection

        load_collection(self._folder / "records")


class Figures:
    """The paper's Figure 2 from 21 runs, drawn and saved."""

    timeout = 300

    def setup(self) -> None:
        import matplotlib

        from napts.analysis import load_collection

        matplotlib.use("Agg")
        self._folder = Path(tempfile.mkdtemp(prefix="napts-bench-"))
        write_comparison(self._folder / "records", epochs=30)
        self._frame = load_collection(self._folder / "records").sections[0].epochs

    def teardown(self) -> None:
        shutil.rmtree(self._folder)

    def time_figure2(self) -> None:
        import matplotlib.pyplot as plt

        from napts.plotting.style import style

        # On older revisions it lies beside the other figures.
        home = "papers.figures" if find_spec("napts.papers") else "plotting"
        with style():
            figure = import_module(f"napts.{home}.figure2").figure2(self._frame)
            figure.savefig(self._folder / "figure.svg")
            plt.close(figure)


class StartUp:
    """Imports in a fresh interpreter."""

    timeout = 120

    def timeraw_import_optim(self) -> str:
        return "import napts; napts.NAPTS"

    def timeraw_help(self) -> str:
        return """
            import contextlib, io
            from napts.cli import main
            with contextlib.redirect_stdout(io.StringIO()):
                main(["--help"], standalone_mode=False)
        """
