"""Losses that are known sample by sample, as functions of a vector, with what they cost."""

from napts.optim.sums.batch_sum import BatchSum, as_sum
from napts.optim.sums.counts import CountedSum, SumCounts
from napts.optim.sums.finite_sum import FiniteSum, HessianProduct
from napts.optim.sums.logistic import LogisticSum

__all__ = [
    "BatchSum",
    "CountedSum",
    "FiniteSum",
    "HessianProduct",
    "LogisticSum",
    "SumCounts",
    "as_sum",
]
