"""Raw arrays of MNIST, Fashion-MNIST and CIFAR-10, read by torchvision."""

import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napts.problems.data_root import DataInvalid, DataMissing, resolve_data_root
from napts.problems.tensors import RawData, RawSet
from napts.problems.torchvision_shim import load_torchvision

CLASSES = 10
# What a reader raises for a file that is cut short or is something else.
_UNREADABLE = (
    AssertionError,
    EOFError,
    IndexError,
    KeyError,
    RuntimeError,
    ValueError,
    pickle.UnpicklingError,
)


@dataclass(frozen=True, slots=True)
class ImageDataset:
    """A data set of torchvision.

    Attributes:
        name: Name for users.
        class_name: Name of the class in ``torchvision.datasets``.
        folder: Folder below the data root, in torchvision's layout.
        shape: Channels, height and width of an image.
        sizes: Number of training and test images of the published data set.
        digest: Digest of the published arrays, or None if it is not known here.
    """

    name: str
    class_name: str
    folder: str
    shape: tuple[int, int, int]
    sizes: tuple[int, int]
    digest: str | None

    def read(self, root: Path | None) -> RawData:
        """Return the arrays: uint8 inputs ``(n, channels, height, width)``, int64 targets.

        Only reads: the folder may be read-only.

        Args:
            root: Data folder, or None to resolve it.

        Raises:
            DataMissing: If files are missing (or damaged, if torchvision can tell).
            DataInvalid: If the files hold something else.
        """
        root = resolve_data_root(root)
        load_torchvision()  # first, so that its own errors are not taken for damaged files
        try:
            parts = [self._part(root, train=train) for train in (True, False)]
        except _UNREADABLE as error:
            if "not found" in str(error):
                raise DataMissing(self.name, root) from None
            raise DataInvalid(
                f"data set {self.name!r} in {root / self.folder} cannot be read "
                f"({type(error).__name__}: {error}): remove that folder and prepare it again"
            ) from error
        return RawData(*parts)

    def download(self, root: Path) -> None:
        """Download what is missing below a folder; write nothing if all is there.

        Raises:
            RuntimeError: If the servers cannot be reached or the folder cannot be written.
        """
        try:
            for train in (True, False):
                self._open(root, train=train, download=True)
        except OSError as error:
            raise RuntimeError(str(error)) from error

    def _open(self, root: Path, *, train: bool, download: bool = False) -> Any:
        datasets = load_torchvision().datasets
        with warnings.catch_warnings():
            # CIFAR-10's pickles are older than the checks that numpy now makes of such files.
            warnings.filterwarnings("ignore", message=r"dtype\(\): align should be passed")
            return getattr(datasets, self.class_name)(str(root), train=train, download=download)

    def _part(self, root: Path, *, train: bool) -> RawSet:
        part = self._open(root, train=train)
        images = _channels_first(torch.as_tensor(part.data))
        targets = torch.as_tensor(part.targets, dtype=torch.int64)
        self._check(images, targets)
        return RawSet(images, targets)

    def _check(self, images: Tensor, targets: Tensor) -> None:
        if tuple(images.shape[1:]) != self.shape or images.dtype != torch.uint8:
            raise ValueError(f"images of {self.shape} bytes expected, got {tuple(images.shape)}")
        if len(images) != len(targets) or not len(targets):
            raise ValueError(f"{len(images)} images with {len(targets)} labels")
        if int(targets.min()) < 0 or int(targets.max()) >= CLASSES:
            raise ValueError(f"labels must lie in 0..{CLASSES - 1}")


def _channels_first(images: Tensor) -> Tensor:
    """Return ``(n, c, h, w)`` from torchvision's ``(n, h, w)`` or ``(n, h, w, c)``."""
    if images.dim() == 3:
        return images.unsqueeze(1)
    return images.permute(0, 3, 1, 2).contiguous()


MNIST = ImageDataset("mnist", "MNIST", "MNIST", (1, 28, 28), (60_000, 10_000), "b74a5289561b3b39")
FASHION_MNIST = ImageDataset(
    "fashion-mnist", "FashionMNIST", "FashionMNIST", (1, 28, 28), (60_000, 10_000), None
)
CIFAR10 = ImageDataset(
    "cifar10", "CIFAR10", "cifar-10-batches-py", (3, 32, 32), (50_000, 10_000), "3ce9c7e463f8874a"
)
IMAGE_DATASETS = {dataset.name: dataset for dataset in (MNIST, FASHION_MNIST, CIFAR10)}
