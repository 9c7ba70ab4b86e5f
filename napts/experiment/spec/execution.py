"""Where and how a run runs, and how its network is spread over ranks."""

from typing import Annotated, Literal

import torch
from pydantic import Field

from napts.experiment.spec_table import Ranks, SpecTable, Threads
from napts.quantity import Unit

Autocast = Literal["none", "bfloat16"]


class Pipelining(SpecTable):
    """How the network is spread over ranks; part of the run key.

    The numbers do not depend on how many ranks share the stages (``execution.ranks``). They do
    depend on the stages, to which random numbers belong, and on the micro-batches, over which
    BatchNorm takes its statistics.

    Attributes:
        stages: Contiguous blocks of layers; None for the number of subdomains, the only number
            allowed for methods with subdomains.
        micro_batches: Parts of a batch that follow one another through the ranks. A batch that
            they do not divide is cut into the next smaller number of equal parts.
    """

    stages: Annotated[int, Field(ge=1, le=1024), Unit("stages")] | None = None
    micro_batches: Annotated[int, Field(ge=1, le=65_536), Unit("parts of a batch")] = 1


class Execution(SpecTable):
    """Where and how a run runs; not part of the run key, but for ``autocast``.

    Attributes:
        device: "cpu", "cuda", or "auto" for CUDA if there is a device.
        threads: Threads of one operation on the CPU.
        ranks: Processes that share the stages of ``[pipeline]``, the subdomains of APTSW or the
            shards of APTSD, at most one for each. An interrupted run may resume with another
            number. With shards the results differ by rounding.
        schedule: Order of the micro-batches, "gpipe" or "1f1b" (with at least as many
            micro-batches as ranks); the results are the same.
        channels_last: Whether images and the weights of convolutions are stored pixel by pixel,
            with the channels of each pixel together; the results differ only by rounding.
        compile: Whether training passes of the whole network go through `torch.compile`, half a
            minute to minutes before the first step; the results differ only by rounding. Passes
            that are captured layer by layer, local passes and evaluations stay as they are.
        autocast: "bfloat16" for training passes of the network under torch's autocast, with
            parameters, loss and evaluations as they are. It changes the results, so it alone
            belongs to the run key, unless it is "none".
        checkpoint_every_s: Seconds between checkpoints within an epoch; every epoch also ends with
            one.
        record_steps: Whether every step is recorded, not only every epoch.
        packages: What to do if a run was begun, or done, with other versions of the packages that
            its problem, its method or the user's code come from: "any" reports it in a line,
            "exact" refuses the run.
        data: Whether the data of finished runs are checked: "exact" reads them again, and refuses
            a run that was done with others. A resumed run always does so.
    """

    device: Literal["cpu", "cuda", "auto"] = "cpu"
    threads: Threads = 1
    ranks: Ranks = 1
    schedule: Literal["gpipe", "1f1b"] = "gpipe"
    channels_last: bool = False
    compile: bool = False
    autocast: Autocast = "none"
    checkpoint_every_s: Annotated[float, Field(ge=0.0, le=1e9), Unit("seconds")] = 60.0
    record_steps: bool = True
    packages: Literal["any", "exact"] = "any"
    data: Literal["any", "exact"] = "any"

    def torch_device(self, index: int | None = None) -> torch.device:
        """Return the device.

        Args:
            index: Which CUDA device, if one is used; None for the current one.

        Raises:
            ValueError: CUDA is asked for and there is none.
        """
        available = torch.cuda.is_available()
        if self.device == "cuda" and not available:
            raise ValueError("execution.device: found cuda, allowed here: cpu (no CUDA device)")
        if self.device == "cpu" or not available:
            return torch.device("cpu")
        return torch.device("cuda") if index is None else torch.device("cuda", index)
