"""What a workload is: data, a network, a loss and the defaults to train with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from napts.problems.splits import split
from napts.problems.tensors import DataSplits, Normalisation, Prepare, RawData, TensorSet, digest


class WorkloadOptions(BaseModel):
    """Options of every workload; those of one workload are fields of a subclass.

    Attributes:
        train_samples: Use only so many training samples, or None for all that are not held out.
        validation_size: Samples of the source's training set that are held out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    train_samples: PositiveInt | None = None
    validation_size: PositiveInt


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Means over the samples of a set.

    Attributes:
        loss: Mean loss per sample.
        accuracy: Fraction of samples classified correctly, in [0, 1].
    """

    loss: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Workload:
    """A named problem: classification with cross-entropy.

    Attributes:
        name: Name in the registry.
        dataset: Name of the data set, as ``napts data prepare`` takes it.
        options: Validated options.
        batch_size: Default number of samples per batch.
        subdomains: Default number of subdomains of the Schwarz methods.
        network: Makes the network; random initialisation from torch's global CPU generator.
        source: Reads the raw arrays, given the data folder (None: resolved by the rules of
            `resolve_data_root`).
        normalisation: Constants for the inputs, or None.
    """

    name: str
    dataset: str
    options: WorkloadOptions
    batch_size: int
    subdomains: int
    network: Callable[[], nn.Module]
    source: Callable[[Path | None], RawData]
    normalisation: Normalisation | None = None

    def load(
        self,
        data_root: Path | str | None = None,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> DataSplits:
        """Read the data and put the three sets on the device.

        The split depends on the data set and the options alone, not on the seed of a run.

        Args:
            data_root: Folder in torchvision's layout; None asks NAPTS_DATA, then the cache.
            device: Where the tensors live.
            dtype: Type of the prepared inputs.

        Raises:
            DataMissing: If the data set is not in the folder.
            ValueError: If the options ask for more samples than there are.
        """
        raw = self.source(None if data_root is None else Path(data_root))
        train, validation = split(
            raw.train, self.options.validation_size, self.options.train_samples
        )
        sets = (train, validation, raw.test)
        prepare = Prepare(self.normalisation, device=device, dtype=dtype)
        fingerprint = digest(tensor for part in sets for tensor in (part.inputs, part.targets))
        return DataSplits(*(part.on_device(prepare, device) for part in sets), digest=fingerprint)

    def build_model(self, seed: int) -> nn.Module:
        """Return the network on the CPU in float32, initialised from a seed.

        The caller's random state is left as it was, on the CPU and on every GPU.

        Args:
            seed: Seed of the run.
        """
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would also reseed the GPUs, which this fork does not restore.
            torch.default_generator.manual_seed(seed)
            return self.network()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of a batch.

        Args:
            outputs: ``(n, classes)`` logits.
            targets: ``(n,)`` class indices.
        """
        return functional.cross_entropy(outputs, targets)

    def loss_sum(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy summed over a batch; arguments as in `loss`."""
        return functional.cross_entropy(outputs, targets, reduction="sum")

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return how many samples of a batch are classified correctly; arguments as in `loss`."""
        return (outputs.argmax(dim=1) == targets).sum()

    def evaluate(
        self, model: nn.Module, tensors: TensorSet, *, batch_size: int = 1000
    ) -> Evaluation:
        """Return the means over a whole set, in evaluation mode and without gradients.

        Sums are divided by the number of samples once, so that a smaller last batch weighs no more
        than its samples. Training flags of all submodules are put back afterwards.

        Args:
            model: Network on the device of the set.
            tensors: Samples, at least one.
            batch_size: Samples per forward pass; affects memory and speed only.

        Raises:
            ValueError: If the set is empty.
        """
        with evaluation_mode(model):
            loss, correct = self.sums(lambda inputs, _: model(inputs), tensors, batch_size)
        return Evaluation(loss.item() / len(tensors), correct.item() / len(tensors))

    @torch.no_grad()
    def sums(
        self,
        forward: Callable[[Tensor, Tensor], Tensor | None],
        tensors: TensorSet,
        batch_size: int = 1000,
    ) -> tuple[Tensor, Tensor]:
        """Return the summed loss and the number of correct samples of a whole set.

        Args:
            forward: Returns the outputs for inputs and targets of a batch, or None where another
                rank has them; what is not known here counts 0.
            tensors: Samples, at least one.
            batch_size: Samples per forward pass.

        Raises:
            ValueError: If the set is empty.
        """
        if not len(tensors):
            raise ValueError(f"{self.name}: cannot evaluate on an empty set")
        loss = torch.zeros((), dtype=torch.float64, device=tensors.device)
        correct = torch.zeros((), dtype=torch.int64, device=tensors.device)
        for first in range(0, len(tensors), batch_size):
            inputs, targets = tensors.batch(slice(first, first + batch_size))
            outputs = forward(inputs, targets)
            if outputs is not None:
                loss += self.loss_sum(outputs, targets)
                correct += self.correct(outputs, targets)
        return loss, correct


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, and its training flags back afterwards.

    Args:
        model: The network; flags of all submodules are kept.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
