"""One file per method: its options, and how they compose it from the four families."""

from napts.optim.methods.apts import APTS
from napts.optim.methods.aptsa import APTSA
from napts.optim.methods.aptsd import APTSD
from napts.optim.methods.aptsw import APTSW
from napts.optim.methods.aspqn import ASPQN
from napts.optim.methods.astrom import ASTROM
from napts.optim.methods.mlvr import MLVR
from napts.optim.methods.momentum_lbfgs import AdamLBFGS, MomentumLBFGS
from napts.optim.methods.mspqn import MSPQN
from napts.optim.methods.napts import NAPTS
from napts.optim.methods.ntr import NTR
from napts.optim.methods.rmtr import RMTR
from napts.optim.methods.sarah import SARAH
from napts.optim.methods.ssbroyden import SSBroyden
from napts.optim.methods.ssn import SSN
from napts.optim.methods.sttr import STTR
from napts.optim.methods.svrg import SVRG
from napts.optim.methods.tr import TR
from napts.optim.methods.tr_newton import TRNewton
from napts.optim.methods.ttr import TTR

__all__ = [
    "APTS",
    "APTSA",
    "APTSD",
    "APTSW",
    "ASPQN",
    "ASTROM",
    "MLVR",
    "MSPQN",
    "NAPTS",
    "NTR",
    "RMTR",
    "SARAH",
    "SSN",
    "STTR",
    "SVRG",
    "TR",
    "TTR",
    "AdamLBFGS",
    "MomentumLBFGS",
    "SSBroyden",
    "TRNewton",
]
