"""What makes up a problem: a network, data, a loss, metrics and defaults for training."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from napts.decomposition.trees import tensors_of
from napts.optim import Batch
from napts.optim.replicas import ONE_REPLICA, Replicas
from napts.problems.evaluation import Evaluation, checked, checked_loss, evaluation_mode
from napts.problems.randomness import OwnRandom, seed_of
from napts.problems.samples import EVALUATION_BATCH, BatchSize, EpochOrder, SampleSet, samples_in
from napts.problems.splits import DataSplits

# What torch says where a derivative is taken and none was recorded.
_NO_GRADIENTS = "does not require grad"


class ProblemOptions(BaseModel):
    """Options of a problem: the fields of a subclass, which appear beside its name in a spec."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Problem(ABC):
    """A named problem; a subclass defines how it is built and is registered under a name.

    A subclass implements :meth:`network`, :meth:`data`, :meth:`loss` and, optionally,
    :meth:`metrics` and :meth:`augment`; the harness calls the rest. A batch is a tensor, or a tuple
    or dictionary of tensors, with the samples in dimension 0. See docs/reference/problems.md.

    Args:
        options: Validated options, an instance of ``Options``; None for the defaults.

    Attributes:
        name: Name in the registry, set by `register_problem`.
        dataset: Name of the data set for ``napts data prepare``, or None.
        batch_size: Default number of samples per batch, or ``"full"``.
        subdomains: Default number of subdomains of the Schwarz methods.
        primary: The metric that says how good a network is, and whether larger or smaller is
            better.
        fractions: Metrics in [0, 1] that are shown in percent.
        precision: Default type of parameters and samples, ``"float32"`` or ``"float64"``.
        needs_grad: Whether the loss or the metrics take derivatives with respect to inputs, so that
            an evaluation needs graphs.
        compiled: Whether the loss is a compiled function, which does not call the network layer by
            layer and whose gradient cannot be differentiated.
        closed_form: Whether what a step takes evaluates the loss by a formula, without calling the
            network.
        Options: Model of the options.
        options: The options.
    """

    name: ClassVar[str] = ""
    dataset: ClassVar[str | None] = None
    batch_size: ClassVar[BatchSize] = 32
    subdomains: int = 2
    primary: ClassVar[tuple[str, Literal["max", "min"]]] = ("loss", "min")
    fractions: ClassVar[tuple[str, ...]] = ()
    precision: ClassVar[Literal["float32", "float64"]] = "float32"
    needs_grad: ClassVar[bool] = False
    compiled: bool = False
    closed_form: ClassVar[bool] = False
    options: Any

    Options: ClassVar[type[ProblemOptions]] = ProblemOptions

    def __init__(self, options: ProblemOptions | None = None) -> None:
        self.options = self.Options() if options is None else options

    # --- what a problem says -----------------------------------------------------------------

    @abstractmethod
    def network(self) -> nn.Module:
        """Return the network on the CPU; torch, NumPy and Python are seeded before."""

    @abstractmethod
    def data(self, root: Path | None = None) -> Any:
        """Return training, validation and test samples.

        Each is a tensor or NumPy array, a tuple or dictionary of these, a map-style
        `torch.utils.data.Dataset`, a `torch.utils.data.DataLoader`, or a `SampleSet`.
        Random numbers are seeded, in the same way for every run.

        Args:
            root: Folder of data sets that the user chose, or None.
        """

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """Return the mean loss over the samples of a batch, with its graph.

        Args:
            model: The network.
            batch: Samples on the network's device.
        """

    def metrics(self, model: nn.Module, samples: SampleSet) -> Mapping[str, Any]:
        """Return numbers that say how good a network is, by names of lower-case letters.

        The network is in evaluation mode, and no graph is recorded unless the problem needs it.

        Args:
            model: The network.
            samples: Validation or test samples: ``len(samples)``, ``samples.batches(size)``,
                ``samples.all()``.
        """
        return {}

    def keepsake(self, model: nn.Module) -> Mapping[str, Any]:
        """Return arrays that a finished run keeps beside its records, for figures.

        Args:
            model: The network at the end, in evaluation mode.
        """
        return {}

    def batch(self, model: nn.Module, samples: Any, replicas: Replicas = ONE_REPLICA) -> Batch:
        """Return what an optimizer's ``step`` takes; a finite sum can return a richer object.

        Args:
            model: The network.
            samples: A batch on the network's device.
            replicas: The processes that share the batch.
        """
        return Batch(partial(self.loss, model), samples, replicas)

    def augment(self, batch: Any) -> Any:
        """Return a training batch with random changes; evaluation does not use this.

        Random numbers are seeded from the run's seed, the epoch and the step, whatever else draws
        any. The batch may be changed in place only if it is a copy.

        Args:
            batch: Samples on the network's device.
        """
        return batch

    def example_inputs(self, batch: Any) -> Any:
        """Return the network's input in a batch: its first tensor, unless a subclass overrides it.

        A trial run with it determines how the network is cut into subdomains.
        """
        return tensors_of(batch)[0]

    # --- what the harness calls --------------------------------------------------------------

    @final
    def load(
        self,
        data_root: Path | str | None = None,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> DataSplits:
        """Read the data and put the three sets on the device.

        They depend only on the data set and the options, not on the seed of a run.

        Args:
            data_root: Folder of data sets; None means the one in NAPTS_DATA, else the cache.
            device: Where the samples live.
            dtype: Type of floating-point samples; integers keep theirs.

        Raises:
            DataMissing: If the data set is not in the folder.
            ValueError: If the data are not three sets of samples, or the options ask for more
                samples than there are.
        """
        root = None if data_root is None else Path(data_root)
        with OwnRandom(seed_of("data")):
            parts = self.data(root)
        try:
            return DataSplits.of(parts, device, dtype)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.title}.data: {error}") from error

    @final
    def build_model(self, seed: int) -> nn.Module:
        """Return the network on the CPU in float32, initialised from a seed.

        The caller's random state is left as it was, on the CPU and on every GPU.

        Args:
            seed: Seed of the run.

        Raises:
            TypeError: If the problem does not return a network.
        """
        with OwnRandom(seed):
            model = self.network()
        if not isinstance(model, nn.Module):
            raise TypeError(
                f"{self.title}.network: found {type(model).__name__}, allowed: torch.nn.Module"
            )
        return model

    @final
    def training_batches(self, samples: SampleSet, order: EpochOrder) -> Iterator[Any]:
        """Return an iterator over the batches of an epoch, augmented.

        Raises:
            ValueError: If the order does not fit these samples.
        """
        found = samples.epoch(order)
        if type(self).augment is Problem.augment:
            return found
        return self._augmented(found, samples.device, order)

    def _augmented(
        self, batches: Iterator[Any], device: torch.device, order: EpochOrder
    ) -> Iterator[Any]:
        for step, batch in enumerate(batches, order.start):
            with OwnRandom(seed_of("augment", order.seed, order.epoch, step), device):
                changed = self.augment(batch)
            yield changed

    def check_pipeline(self) -> None:
        """Check that loss and metrics depend only on the network's outputs.

        Raises:
            ValueError: If they do not, so that no pipeline can compute them.
        """
        raise ValueError(
            f"workload.name: found {self.name}, allowed with [pipeline]: problems of class "
            f"napts.Supervised that keep its loss() and metrics(), which {self.title} is not"
        )

    def evaluate(
        self, model: nn.Module, samples: SampleSet, *, batch_size: int = EVALUATION_BATCH
    ) -> Evaluation:
        """Return the mean loss over a whole set and the metrics, in evaluation mode.

        A smaller last batch is weighted by its number of samples. Training flags of all submodules
        are restored afterwards.

        Args:
            model: Network on the device of the set.
            samples: Samples, at least one.
            batch_size: Samples per forward pass; affects only memory and speed.

        Raises:
            ValueError: If the set is empty, or a metric is not valid.
        """
        self.check_not_empty(samples)
        with evaluation_mode(model), torch.set_grad_enabled(self.needs_grad):
            try:
                loss = self._mean_loss(model, samples, batch_size)
                metrics = self.metrics(model, samples)
            except RuntimeError as error:
                if self.needs_grad or _NO_GRADIENTS not in str(error):
                    raise
                raise ValueError(
                    f"{self.title}: loss() or metrics() takes derivatives: set needs_grad = True"
                ) from error
        return self.evaluation(loss, metrics)

    def _mean_loss(self, model: nn.Module, samples: SampleSet, batch_size: int) -> float:
        total = torch.zeros((), dtype=torch.float64, device=samples.device)
        seen = 0
        for batch in samples.batches(batch_size):
            size = samples_in(batch)
            loss = checked_loss(f"{self.title}.loss", self.loss(model, batch))
            total += loss.detach() * size
            seen += size
        return total.item() / seen

    @final
    def evaluation(self, loss: float, metrics: Mapping[str, Any]) -> Evaluation:
        """Return loss and metrics as plain numbers; arguments and errors as for `checked`."""
        return checked(self.title, self.primary[0], loss, metrics, self.fractions)

    def check_not_empty(self, samples: SampleSet) -> None:
        """Check that there is something to evaluate.

        Raises:
            ValueError: If the set is empty.
        """
        if not len(samples):
            raise ValueError(f"{self.name or self.title}: cannot evaluate on an empty set")

    @property
    def title(self) -> str:
        """Name of the class, for messages."""
        return type(self).__qualname__
