"""A small GPT: blocks of causal attention with normalisation before each part."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Embedding(nn.Module):
    """Adds the embeddings of a token and of its position.

    Args:
        tokens: Size of the vocabulary.
        context: Longest sequence.
        width: Features of a token.
    """

    def __init__(self, tokens: int, context: int, width: int) -> None:
        super().__init__()
        self.token = nn.Embedding(tokens, width)
        self.position = nn.Embedding(context, width)

    def forward(self, ids: Tensor) -> Tensor:
        """Return ``(n, length, width)`` for token ids ``(n, length)``."""
        places = torch.arange(ids.shape[1], device=ids.device)
        return self.token(ids) + self.position(places)


class Attention(nn.Module):
    """Causal self-attention with several heads.

    Args:
        width: Features of a token, a multiple of the number of heads.
        heads: Number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inward = nn.Linear(width, 3 * width)
        self.outward = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape ``(n, length, width)``."""
        n, length, width = x.shape
        parts = self.inward(x).view(n, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.outward(seen.transpose(1, 2).reshape(n, length, width))


class Block(nn.Module):
    """Attention and a perceptron of two layers, each added to its input.

    Args:
        width: Features of a token.
        heads: Number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(width), Attention(width, heads))
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        # A network is cut where a module returns all that passes on, and a sum is no module.
        self.end = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape ``(n, length, width)``."""
        x = x + self.attention(x)
        return self.end(x + self.perceptron(x))


def gpt(tokens: int, *, context: int, width: int, heads: int, blocks: int) -> nn.Sequential:
    """Return a GPT that can be cut between its blocks.

    Weights start as normal numbers with deviation 0.02 and biases as 0, as in GPT-2 (Radford et
    al., 2019).

    Args:
        tokens: Size of the vocabulary; the outputs are ``(n, length, tokens)`` logits.
        context: Longest sequence.
        width: Features of a token.
        heads: Heads of each block; a divisor of the width.
        blocks: Number of blocks.

    Raises:
        ValueError: If the heads do not divide the width.
    """
    if width % heads:
        raise ValueError(f"heads: found {heads}, allowed: divisors of the width {width}")
    model = nn.Sequential(
        Embedding(tokens, context, width),
        *(Block(width, heads) for _ in range(blocks)),
        nn.LayerNorm(width),
        nn.Linear(width, tokens, bias=False),
    )
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return model
