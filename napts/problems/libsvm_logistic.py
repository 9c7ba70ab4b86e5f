"""Logistic regression on sets of LIBSVM's collection, on a user's file, and on a stand-in."""

from pathlib import Path
from typing import ClassVar

from torch import Tensor

from napts.problems.data_root import DataMissing, resolve_data_root
from napts.problems.libsvm import read_libsvm, signed
from napts.problems.logistic import Logistic
from napts.problems.mnist49 import mnist49
from napts.problems.registry import register_problem

SOURCE = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets"
_ENDINGS = (".txt", "", ".bz2")


class LibsvmLogistic(Logistic):
    """Logistic regression on a file in the folder ``libsvm`` of the data folder.

    The larger of its two labels becomes +1, the smaller one -1. The files are those of LIBSVM's
    collection under their names there, with or without ``.txt``, or compressed (``.bz2``).

    Attributes:
        set_names: Allowed names of the file, without endings.
    """

    set_names: ClassVar[tuple[str, ...]] = ()

    def table(self, root: Path | None) -> tuple[Tensor, Tensor]:
        """Return the contents of the file.

        Raises:
            DataMissing: It is not there.
            DataInvalid: It does not have LIBSVM's layout or exactly two labels, or it has features
                that the set does not have.
        """
        path = self.path(root)
        found = read_libsvm(path, self.features)
        return found.inputs, signed(found.labels, path.name)[0]

    def path(self, root: Path | None) -> Path:
        """Return where the file is.

        Raises:
            DataMissing: It is not there.
        """
        folder = resolve_data_root(root) / "libsvm"
        names = [f"{name}{ending}" for name in self.set_names for ending in _ENDINGS]
        found = next((folder / name for name in names if (folder / name).is_file()), None)
        if found is None:
            remedy = f"put {' or '.join(names)} of {SOURCE} there, or name another data folder"
            raise DataMissing(self.set_names[0], folder, remedy=remedy)
        return found


@register_problem("australian-logistic")
class AustralianLogistic(LibsvmLogistic):
    """`australian-logistic`: 690 samples, 14 features of very different sizes: ill-conditioned."""

    set_names, features = ("australian",), 14


@register_problem("australian-scale-logistic")
class AustralianScaleLogistic(LibsvmLogistic):
    """`australian-scale-logistic`: the same, each feature scaled to [-1, 1]."""

    set_names, features = ("australian_scale",), 14


@register_problem("mushrooms-logistic")
class MushroomsLogistic(LibsvmLogistic):
    """`mushrooms-logistic`: 8,124 samples, 112 binary features; labels 1 (-1) and 2 (+1)."""

    set_names, features = ("mushrooms",), 112


@register_problem("phishing-logistic")
class PhishingLogistic(LibsvmLogistic):
    """`phishing-logistic`: 11,055 samples, 68 features; labels 0 (-1) and 1 (+1)."""

    set_names, features = ("phishing",), 68


@register_problem("a9a-logistic")
class A9aLogistic(LibsvmLogistic):
    """`a9a-logistic`: 32,561 samples, 123 binary features, 14 of them set."""

    set_names, features = ("a9a",), 123


@register_problem("w8a-logistic")
class W8aLogistic(LibsvmLogistic):
    """`w8a-logistic`: 49,749 samples, 300 binary features, 12 of them set; 3 % have label +1."""

    set_names, features = ("w8a",), 300


@register_problem("gisette-logistic")
class GisetteLogistic(LibsvmLogistic):
    """`gisette-logistic`: 6,000 samples, 5,000 features; the user must have the file."""

    set_names, features = ("gisette_scale", "gisette"), 5000


@register_problem("libsvm-logistic")
class FileLogistic(LibsvmLogistic):
    """`libsvm-logistic`: a user's own file, named in the folder ``libsvm`` of the data."""

    class Options(LibsvmLogistic.Options):
        """Options of `libsvm-logistic`.

        Attributes:
            file: Name of the file in the folder ``libsvm``, or an absolute path.
        """

        file: str = "data.txt"

    def path(self, root: Path | None) -> Path:
        """Return where the file is.

        Raises:
            DataMissing: It is not there.
        """
        folder = resolve_data_root(root) / "libsvm"
        path = folder / self.options.file
        if not path.is_file():
            remedy = "put it there, or name another file, or another data folder"
            raise DataMissing(self.options.file, folder, remedy=remedy)
        return path


@register_problem("mnist49-logistic")
class Mnist49Logistic(Logistic):
    """`mnist49-logistic`: 6,000 fours and nines of MNIST with 5,000 features, in place of Gisette.

    See :mod:`napts.problems.mnist49`: numbers on it are not numbers on Gisette.
    """

    dataset, features = "mnist", 5000

    def table(self, root: Path | None) -> tuple[Tensor, Tensor]:
        """Return the table.

        Raises:
            DataMissing: MNIST is not there.
        """
        return mnist49(root)
