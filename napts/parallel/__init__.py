"""One network on many ranks: PyTorch's pipeline engine below, the same methods above."""
