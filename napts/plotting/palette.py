"""Images of few colours, which are small and keep the colours that tell lines apart."""

import numpy as np
import PIL.Image

from napts.analysis.columns import Floats

_COMMON = 40
"""Pixels from which a colour counts as much as those of any number."""


def few_colours(image: PIL.Image.Image, count: int) -> PIL.Image.Image:
    """Return an image with a palette.

    Each colour of the palette is the one that is farthest from those before it, rare ones counting
    less. The usual palettes go by the number of pixels, and thin lines of two colours become one.

    Args:
        image: The image.
        count: Number of colours.
    """
    image = image.convert("RGB")
    pixels = np.asarray(image, dtype=np.int64).reshape(-1, 3) @ np.array([1 << 16, 1 << 8, 1])
    packed, numbers = np.unique(pixels, return_counts=True)
    colours = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1).astype(np.float64)
    chosen = colours[_farthest(colours, np.sqrt(np.minimum(numbers, _COMMON)), numbers, count)]
    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(chosen)] = chosen
    table[len(chosen) :] = chosen[0]
    palette = PIL.Image.new("P", (1, 1))
    palette.putpalette(table.tobytes())
    return image.quantize(palette=palette, dither=PIL.Image.Dither.NONE)


def _farthest(colours: Floats, weights: Floats, numbers: np.ndarray, count: int) -> list[int]:
    chosen = [int(numbers.argmax())]
    distances = np.abs(colours - colours[chosen[0]]).sum(axis=1)
    while len(chosen) < min(count, len(colours)):
        chosen.append(int((distances * weights).argmax()))
        distances = np.minimum(distances, np.abs(colours - colours[chosen[-1]]).sum(axis=1))
    return chosen
