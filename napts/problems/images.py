"""The image classification problems on MNIST, Fashion-MNIST and CIFAR-10."""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from napts.problems.holdout import SplitOptions, fixed_permutation, held_out
from napts.problems.models import cnn, fcnn, lenet, resnet18
from napts.problems.numbers import Samples
from napts.problems.registry import register_problem
from napts.problems.supervised import Classification
from napts.problems.tensors import Normalisation, RawData, RawSet
from napts.problems.torchvision_data import CIFAR10, FASHION_MNIST, MNIST, ImageDataset

# Mean and standard deviation of the training pixels in [0, 1]; for CIFAR-10 the constants that the
# NAPTS authors' code uses (its standard deviations are a common variant, not the exact ones).
MNIST_NORMALISATION = Normalisation((0.1307,), (0.3081,))
FASHION_MNIST_NORMALISATION = Normalisation((0.2860,), (0.3530,))
CIFAR10_NORMALISATION = Normalisation((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))

_FCNN_WIDTHS = (784, 32, 32, 10)


class ImageClassification(Classification):
    """A problem on images from a torchvision data set.

    Attributes:
        source: The data set.
        normalisation: Constants for its pixels.
    """

    source: ClassVar[ImageDataset]
    normalisation: ClassVar[Normalisation]

    class Options(SplitOptions):
        """Options of most problems on images."""

        validation_size: Samples = 5000

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls.dataset = cls.source.name

    def data(self, root: Path | None = None) -> Any:
        """Read the images from a folder in torchvision's layout."""
        return held_out(self.read(root), self.options, self.normalisation)

    def read(self, root: Path | None) -> RawData:
        """Return the stored images."""
        return self.source.read(root)


@register_problem("mnist-fcnn")
class MnistFcnn(ImageClassification):
    """`mnist-fcnn`: 784-32-32-10, 26,506 parameters (APTS in weights, 2023)."""

    source, normalisation = MNIST, MNIST_NORMALISATION
    batch_size, subdomains = 1000, 3

    class Options(ImageClassification.Options):
        """Options of `mnist-fcnn`.

        Attributes:
            sigmoid_output: Bound the outputs to (0, 1), as the APTS paper (2023) did.
        """

        sigmoid_output: bool = False

    def network(self) -> nn.Module:
        """Return the network."""
        return fcnn(_FCNN_WIDTHS, sigmoid_output=self.options.sigmoid_output)


@register_problem("fashion-mnist-fcnn")
class FashionMnistFcnn(ImageClassification):
    """`fashion-mnist-fcnn`: the network of `mnist-fcnn` on Fashion-MNIST (our choice)."""

    source, normalisation = FASHION_MNIST, FASHION_MNIST_NORMALISATION
    batch_size, subdomains = 1000, 3

    def network(self) -> nn.Module:
        """Return the network."""
        return fcnn(_FCNN_WIDTHS)


@register_problem("cifar10-cnn")
class Cifar10Cnn(ImageClassification):
    """`cifar10-cnn`: the problem of the NAPTS paper, 1,225,866 parameters, batch 1000.

    The widths of the network are our reconstruction; see `cnn`. No augmentation (our choice).
    """

    source, normalisation = CIFAR10, CIFAR10_NORMALISATION
    batch_size, subdomains = 1000, 4

    def network(self) -> nn.Module:
        """Return the network."""
        return cnn((3, 64, 128, 256, 256), image_size=32, hidden=256)


@register_problem("cifar10-lenet")
class Cifar10Lenet(ImageClassification):
    """`cifar10-lenet`: LeNet-5, 62,006 parameters, batch 10,000 (APTS in data, 2023)."""

    source, normalisation = CIFAR10, CIFAR10_NORMALISATION
    batch_size, subdomains = 10_000, 4

    def network(self) -> nn.Module:
        """Return the network."""
        return lenet()


@register_problem("cifar10-resnet18")
class Cifar10Resnet18(ImageClassification):
    """`cifar10-resnet18`: ResNet18, 11,689,512 parameters, batch 2500 (SAPTS, 2023).

    With ``budget.overlap = 0.01`` the batches are those in APTS in weights, section 3.3.
    """

    source, normalisation = CIFAR10, CIFAR10_NORMALISATION
    batch_size, subdomains = 2500, 15

    def network(self) -> nn.Module:
        """Return the network."""
        return resnet18()


@register_problem("cifar10-mini")
class Cifar10Mini(ImageClassification):
    """`cifar10-mini`: CIFAR-10 at 16x16 pixels, few samples and a small network (ours).

    Made for one CPU core: an epoch of Adam took 1.1 s on the machine it was tuned on. An epoch has
    50 batches, as in the NAPTS paper.
    """

    source, normalisation = CIFAR10, CIFAR10_NORMALISATION
    batch_size, subdomains = 200, 4
    channels: ClassVar[tuple[int, ...]] = (3, 16, 32, 64)
    hidden: ClassVar[int] = 64

    class Options(ImageClassification.Options):
        """Options of `cifar10-mini`."""

        train_samples: Samples | None = 10_000
        validation_size: Samples = 2000

    def network(self) -> nn.Module:
        """Return the network."""
        return cnn(self.channels, image_size=16, hidden=self.hidden)

    def read(self, root: Path | None) -> RawData:
        """Return the images at half size, as many for training as the options can use."""
        return _reduced(super().read(root), self.options)


@register_problem("cifar10-mini-deep")
class Cifar10MiniDeep(Cifar10Mini):
    """`cifar10-mini-deep`: the data of `cifar10-mini` with the paper's layers (ours).

    Four convolutional blocks and two fully connected layers, as in the NAPTS paper, with few
    channels: 65,322 parameters in six layers, so that there can be six subdomains.
    """

    channels = (3, 16, 32, 64, 64)


@register_problem("cifar10-mini-wide")
class Cifar10MiniWide(Cifar10Mini):
    """`cifar10-mini-wide`: the data of `cifar10-mini`, layers and batches of `cifar10-cnn` (ours).

    1,029,258 parameters, batch 1000: a stand-in for the full-size problem at a quarter of its cost.
    """

    batch_size = 1000
    channels, hidden = (3, 64, 128, 256, 256), 256


def halve(images: torch.Tensor) -> torch.Tensor:
    """Return images of half the height and width, each pixel the rounded mean of 2x2 pixels.

    Args:
        images: ``(n, c, h, w)`` uint8, ``h`` and ``w`` even.
    """
    return functional.avg_pool2d(images.float(), 2).round().to(torch.uint8)


def _reduced(raw: RawData, options: Cifar10Mini.Options) -> RawData:
    """Return the images at half size, as many for training as the options can use."""
    wanted = len(raw.train)
    if options.train_samples is not None:
        wanted = min(wanted, options.train_samples + options.validation_size)
    kept = raw.train.take(fixed_permutation(len(raw.train))[:wanted])
    train, test = (RawSet(halve(part.inputs), part.targets) for part in (kept, raw.test))
    return RawData(train, test)
