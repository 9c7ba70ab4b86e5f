"""The image classification workloads on MNIST, Fashion-MNIST and CIFAR-10."""

import torch
from pydantic import PositiveInt
from torch.nn import functional

from napts.problems.models import cnn, fcnn, lenet, resnet18
from napts.problems.problem import Workload, WorkloadOptions
from napts.problems.splits import fixed_permutation
from napts.problems.tensors import Normalisation, RawData, RawSet
from napts.problems.torchvision_data import CIFAR10, FASHION_MNIST, MNIST

# Mean and standard deviation of the training pixels in [0, 1]; for CIFAR-10 the constants that the
# NAPTS authors' code uses (its standard deviations are a common variant, not the exact ones).
MNIST_NORMALISATION = Normalisation((0.1307,), (0.3081,))
FASHION_MNIST_NORMALISATION = Normalisation((0.2860,), (0.3530,))
CIFAR10_NORMALISATION = Normalisation((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))

_FCNN_WIDTHS = (784, 32, 32, 10)


class MnistOptions(WorkloadOptions):
    """Options of `mnist-fcnn`.

    Attributes:
        sigmoid_output: Bound the outputs to (0, 1), as the APTS paper (2023) did.
    """

    validation_size: PositiveInt = 5000
    sigmoid_output: bool = False


class FashionMnistOptions(WorkloadOptions):
    """Options of `fashion-mnist-fcnn`."""

    validation_size: PositiveInt = 5000


class Cifar10Options(WorkloadOptions):
    """Options of `cifar10-cnn`."""

    validation_size: PositiveInt = 5000


class Cifar10MiniOptions(WorkloadOptions):
    """Options of `cifar10-mini`."""

    train_samples: PositiveInt | None = 10_000
    validation_size: PositiveInt = 2000


def mnist_fcnn(options: MnistOptions) -> Workload:
    """Return `mnist-fcnn`: 784-32-32-10, 26,506 parameters (APTS in weights, 2023)."""
    return Workload(
        name="mnist-fcnn",
        dataset=MNIST.name,
        options=options,
        batch_size=1000,
        subdomains=3,
        network=lambda: fcnn(_FCNN_WIDTHS, sigmoid_output=options.sigmoid_output),
        source=MNIST.read,
        normalisation=MNIST_NORMALISATION,
    )


def fashion_mnist_fcnn(options: FashionMnistOptions) -> Workload:
    """Return `fashion-mnist-fcnn`: the network of `mnist-fcnn` on Fashion-MNIST (our choice)."""
    return Workload(
        name="fashion-mnist-fcnn",
        dataset=FASHION_MNIST.name,
        options=options,
        batch_size=1000,
        subdomains=3,
        network=lambda: fcnn(_FCNN_WIDTHS),
        source=FASHION_MNIST.read,
        normalisation=FASHION_MNIST_NORMALISATION,
    )


def cifar10_cnn(options: Cifar10Options) -> Workload:
    """Return `cifar10-cnn`: the problem of the NAPTS paper, 1,225,866 parameters, batch 1000.

    The widths of the network are our reconstruction; see `cnn`. No augmentation (our choice).
    """
    return Workload(
        name="cifar10-cnn",
        dataset=CIFAR10.name,
        options=options,
        batch_size=1000,
        subdomains=4,
        network=lambda: cnn((3, 64, 128, 256, 256), image_size=32, hidden=256),
        source=CIFAR10.read,
        normalisation=CIFAR10_NORMALISATION,
    )


def cifar10_lenet(options: Cifar10Options) -> Workload:
    """Return `cifar10-lenet`: LeNet-5, 62,006 parameters, batch 10,000 (APTS in data, 2023)."""
    return Workload(
        name="cifar10-lenet",
        dataset=CIFAR10.name,
        options=options,
        batch_size=10_000,
        subdomains=4,
        network=lenet,
        source=CIFAR10.read,
        normalisation=CIFAR10_NORMALISATION,
    )


def cifar10_resnet18(options: Cifar10Options) -> Workload:
    """Return `cifar10-resnet18`: ResNet18, 11,689,512 parameters, batch 2500 (SAPTS, 2023).

    With ``budget.overlap = 0.01`` the batches are those of APTS in weights, section 3.3.
    """
    return Workload(
        name="cifar10-resnet18",
        dataset=CIFAR10.name,
        options=options,
        batch_size=2500,
        subdomains=15,
        network=resnet18,
        source=CIFAR10.read,
        normalisation=CIFAR10_NORMALISATION,
    )


def cifar10_mini(options: Cifar10MiniOptions) -> Workload:
    """Return `cifar10-mini`: CIFAR-10 at 16x16 pixels, few samples and a small network (ours).

    Made for one CPU core, where an epoch of Adam took 1.1 s on the machine it was tuned on; with
    50 batches an epoch, as the NAPTS paper has.
    """
    return _mini("cifar10-mini", options, (3, 16, 32, 64))


def cifar10_mini_deep(options: Cifar10MiniOptions) -> Workload:
    """Return `cifar10-mini-deep`: the data of `cifar10-mini`, and the paper's layers (ours).

    Four convolutional blocks and two fully connected layers, as in the NAPTS paper, with few
    channels: 65,322 parameters in six layers, so that there can be six subdomains.
    """
    return _mini("cifar10-mini-deep", options, (3, 16, 32, 64, 64))


def _mini(name: str, options: Cifar10MiniOptions, channels: tuple[int, ...]) -> Workload:
    return Workload(
        name=name,
        dataset=CIFAR10.name,
        options=options,
        batch_size=200,
        subdomains=4,
        network=lambda: cnn(channels, image_size=16, hidden=64),
        source=lambda root: _reduced(CIFAR10.read(root), options),
        normalisation=CIFAR10_NORMALISATION,
    )


def halve(images: torch.Tensor) -> torch.Tensor:
    """Return images of half the height and width, each pixel the rounded mean of 2x2 pixels.

    Args:
        images: ``(n, c, h, w)`` uint8, ``h`` and ``w`` even.
    """
    return functional.avg_pool2d(images.float(), 2).round().to(torch.uint8)


def _reduced(raw: RawData, options: Cifar10MiniOptions) -> RawData:
    """Return the images at half size, as many for training as the options can use."""
    wanted = len(raw.train)
    if options.train_samples is not None:
        wanted = min(wanted, options.train_samples + options.validation_size)
    kept = raw.train.take(fixed_permutation(len(raw.train))[:wanted])
    train, test = (RawSet(halve(part.inputs), part.targets) for part in (kept, raw.test))
    return RawData(train, test)
