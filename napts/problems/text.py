"""A character-level language model on sums and products that are spelled out."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napts.problems.gpt import gpt
from napts.problems.numbers import DataSeed, Layers, Samples, Width
from napts.problems.problem import ProblemOptions
from napts.problems.registry import register_problem
from napts.problems.supervised import Supervised

_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety"
)
_UNITS, _TENS = _WORDS.split()[:20], _WORDS.split()[20:]
_LARGEST = 99
CHARACTERS = "\n -abcdefghijklmnopqrstuvwxyz"
"""The vocabulary; a character's token is its index."""


@register_problem("text-gpt")
class TextGpt(Supervised):
    """`text-gpt`: the next character of spelled-out arithmetic, by a GPT of four small blocks.

    The text has sentences such as "twelve plus seven is nineteen", one per line, in an order drawn
    from ``data_seed``; no sentence of validation or testing is in the training text. A sample is a
    window of ``context`` characters; its targets are the characters that follow each of them. The
    loss is the cross-entropy per character in nats.
    """

    batch_size, subdomains = 32, 4
    primary = ("bits_per_character", "min")
    fractions = ("accuracy",)

    class Options(ProblemOptions):
        """Options of `text-gpt`.

        Attributes:
            train_samples: Windows to train on.
            validation_size: Windows for validation.
            test_size: Windows for testing.
            data_seed: Seed of the order of the sentences, independent of the seed of a run.
            context: Characters of a window.
            width: Features of a character in the network.
            heads: Heads of each block; a divisor of the width.
            blocks: Blocks of the network.
        """

        train_samples: Samples = 256
        validation_size: Samples = 64
        test_size: Samples = 64
        data_seed: DataSeed = 0
        context: Width = 32
        width: Width = 32
        heads: Width = 4
        blocks: Layers = 4

    def network(self) -> nn.Module:
        """Return the network."""
        own = self.options
        return gpt(
            len(CHARACTERS),
            context=own.context,
            width=own.width,
            heads=own.heads,
            blocks=own.blocks,
        )

    def data(self, root: Path | None = None) -> Any:
        """Return token ids ``(n, context)`` and those of the characters that follow each.

        Raises:
            ValueError: If more windows are asked for than the text has.
        """
        own = self.options
        sizes = (own.validation_size, own.test_size, own.train_samples)
        tokens = tokens_of(text(own.data_seed))
        needed = [size * own.context + 1 for size in sizes]
        if sum(needed) + 2 * _LONGEST > len(tokens):
            raise ValueError(
                f"train_samples: found {own.train_samples}, allowed: fewer, since the text has "
                f"{len(tokens)} characters and the three sets take {sum(needed)}"
            )
        parts, begin = [], 0
        for size, length in zip(sizes, needed, strict=True):
            parts.append(windows(tokens[begin : begin + length], size, own.context))
            begin = _next_line(tokens, begin + length)
        validation, test, train = parts
        return train, validation, test

    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy per character.

        Args:
            outputs: ``(n, context, characters)`` logits.
            targets: ``(n, context)`` token ids.
        """
        return functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())

    def totals(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Return how many characters were predicted correctly, in shares of a window."""
        right = (outputs.argmax(-1) == targets).double().mean(1).sum()
        nats = self.criterion(outputs, targets) * len(targets)
        return {"loss": nats, "nats": nats, "right": right}

    def finish(self, totals: Mapping[str, Any], n: int) -> Mapping[str, Any]:
        """Return ``bits_per_character`` and ``accuracy``."""
        bits = totals["nats"] / n / math.log(2)
        return {"bits_per_character": bits, "accuracy": totals["right"] / n}


def spelled(number: int) -> str:
    """Return a number from 0 to 9999 in words."""
    if number < 20:
        return _UNITS[number]
    if number < 100:
        tens, units = divmod(number, 10)
        return _TENS[tens - 2] + (f"-{_UNITS[units]}" if units else "")
    for size, word in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            count, rest = divmod(number, size)
            return f"{spelled(count)} {word}" + (f" {spelled(rest)}" if rest else "")
    raise AssertionError(number)


def text(seed: int) -> str:
    """Return all sums and products of numbers up to 99, one per line, in the seed's order."""
    sentences = [
        f"{spelled(a)} {word} {spelled(b)} is {spelled(result)}\n"
        for a in range(_LARGEST + 1)
        for b in range(_LARGEST + 1)
        for word, result in (("plus", a + b), ("times", a * b))
    ]
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(sentences), generator=generator).tolist()
    return "".join(sentences[place] for place in order)


def tokens_of(characters: str) -> Tensor:
    """Return the token ids of a text of `CHARACTERS`, ``(n,)`` int64."""
    table = torch.zeros(128, dtype=torch.int64)
    for place, character in enumerate(CHARACTERS):
        table[ord(character)] = place
    stored = torch.frombuffer(bytearray(characters.encode("ascii")), dtype=torch.uint8)
    return table[stored.long()]


def windows(tokens: Tensor, count: int, context: int) -> tuple[Tensor, Tensor]:
    """Return windows that follow one another, and the same windows one character further.

    Args:
        tokens: ``(count * context + 1,)`` token ids.
        count: Number of windows.
        context: Their length.
    """
    return tokens[:-1].view(count, context), tokens[1:].view(count, context)


_LONGEST = 100
"""No sentence has more characters."""


def _next_line(tokens: Tensor, position: int) -> int:
    """Return where the next sentence begins, so that no two sets share a sentence."""
    ends = (tokens[position - 1 : position + _LONGEST] == CHARACTERS.index("\n")).nonzero()
    return position + int(ends[0]) if len(ends) else len(tokens)
