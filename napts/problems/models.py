"""The networks; all except the ResNet are flat ``nn.Sequential``, cut between any two children."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import nn

from napts.problems.torchvision_shim import load_torchvision


def fcnn(
    widths: Sequence[int],
    *,
    sigmoid_output: bool = False,
    activation: Callable[[], nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """Return a fully connected network with ReLU, or another activation, between its layers.

    With widths 784, 32, 32, 10 this is the MNIST network of the APTS paper (2023): 26,506
    parameters in 6 tensors.

    Args:
        widths: Inputs, hidden units of each layer, classes.
        sigmoid_output: Bound the outputs to (0, 1), as the APTS experiments (2023) did before the
            cross-entropy; with 10 classes the loss then stays above ln(1 + 9/e) = 1.46115.
        activation: Makes the activation between two layers.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), activation()]
    layers.pop()
    if sigmoid_output:
        layers.append(nn.Sigmoid())
    return nn.Sequential(*layers)


def cnn(
    channels: Sequence[int], *, image_size: int, hidden: int, classes: int = 10
) -> nn.Sequential:
    """Return a convolutional network: blocks of 3x3 convolution, ReLU and 2x2 max pooling.

    A hidden fully connected layer and the output layer follow. There is no batch normalisation
    and no dropout. With channels 3, 64, 128, 256, 256, 32 pixels and 256 hidden units it has
    1,225,866 parameters: our stand-in for the NAPTS paper's network with "4 convolutional blocks,
    2 fully connected layers, 1.2 M parameters", whose widths are not printed.

    Args:
        channels: Channels of the input, then of each block.
        image_size: Height and width of the input in pixels.
        hidden: Units of the hidden fully connected layer.
        classes: Number of outputs.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    features = channels[-1] * (image_size // 2 ** (len(channels) - 1)) ** 2
    layers += [nn.Flatten(), nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes)]
    return nn.Sequential(*layers)


def lenet(classes: int = 10) -> nn.Sequential:
    """Return LeNet-5 for three channels of 32 x 32 pixels: 62,006 parameters with 10 classes.

    This is the network of the CIFAR-10 experiments of APTS in weights and in data (2023), with ReLU
    and max pooling as in the authors' code.

    Args:
        classes: Number of outputs.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 6), (6, 16)):
        layers += [nn.Conv2d(inputs, outputs, 5), nn.ReLU(), nn.MaxPool2d(2)]
    layers.append(nn.Flatten())
    for inputs, outputs in ((400, 120), (120, 84)):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(84, classes))


def resnet18() -> nn.Module:
    """Return torchvision's ResNet18, 11,689,512 parameters in 62 tensors, 1000 outputs.

    APTS in weights (2023), section 3.3, trains it on the ten classes of CIFAR-10; the number of
    parameters shows that its head was left unchanged.
    """
    load_torchvision()
    from torchvision import models  # after the shim

    return models.resnet18(weights=None)


def regularised_fcnn(
    inputs: int, hidden: int, classes: int, *, dropout: float = 0.2
) -> nn.Sequential:
    """Return a fully connected network of four layers with batch normalisation and dropout.

    It serves to test that a method keeps the loss a function of the parameters within one step.

    Args:
        inputs: Number of inputs.
        hidden: Units of each of the three hidden layers.
        classes: Number of outputs.
        dropout: Probability of dropping a unit.
    """
    layers: list[nn.Module] = []
    for width in (inputs, hidden, hidden):
        layers += [
            nn.Linear(width, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
        ]
    return nn.Sequential(*layers, nn.Linear(hidden, classes))
