"""One file a method: its options, and how they compose it from the four families."""

from napts.optim.methods.apts import APTS
from napts.optim.methods.aptsa import APTSA
from napts.optim.methods.aptsd import APTSD
from napts.optim.methods.aptsw import APTSW
from napts.optim.methods.napts import NAPTS
from napts.optim.methods.ntr import NTR
from napts.optim.methods.tr import TR

__all__ = ["APTS", "APTSA", "APTSD", "APTSW", "NAPTS", "NTR", "TR"]
