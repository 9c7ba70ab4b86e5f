"""How the papers' methods are shown beside each other, and what their times are relative to.

Okabe and Ito's colours, which remain distinct for colour-blind readers; related methods have
related colours. Grey and wine are added for the baselines.
"""

from napts.analysis.looks import LEADING, LOOKS, REFERENCES, Dashes, Look

_DASHED: Dashes = (0, (4, 1.5))
_DOTTED: Dashes = (0, (1, 1))
_DASH_DOT: Dashes = (0, (4, 1.5, 1, 1.5))

for _name, _look in {
    "TR": Look("#56B4E9", _DASHED, "v"),
    "NTR": Look("#0072B2", "-", "^"),
    "APTS": Look("#E69F00", _DASHED, "s"),
    "APTSA": Look("#CC79A7", _DOTTED, "D"),
    "NAPTS": Look("#D55E00", "-", "o"),
    "APTSW": Look("#7A4B00", _DASH_DOT, "P"),
    "APTSD": Look("#4B0092", _DASH_DOT, "X"),
    "Adam": Look("#009E73", "-", "p"),
    "SGD": Look("#6B6B6B", _DASHED, ">"),
    "LBFGS": Look("#882255", _DOTTED, "<"),
    "TTR": Look("#E6194B", "-", "X"),
    "STTR": Look("#4363D8", "-", "P"),
    # Finite sums; they share no figure with the methods above.
    "TRNewton": Look("#56B4E9", _DASHED, "v"),
    "ASTROM": Look("#0072B2", "-", "^"),
    "MLVR": Look("#D55E00", "-", "o"),
    "SSN": Look("#E69F00", _DASHED, "s"),
    "SVRG": Look("#009E73", _DOTTED, "p"),
    "SARAH": Look("#6B6B6B", _DOTTED, ">"),
    "RMTR": Look("#D55E00", "-", "o"),
}.items():
    LOOKS.register(_name, _look)

for _name in ("Adam", "TR", "APTS"):
    REFERENCES.register(_name, f"vs {_name}")

LEADING.register("cifar10-cnn", "the NAPTS paper's problem at its full size")
