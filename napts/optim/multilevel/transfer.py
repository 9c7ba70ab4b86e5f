"""How vectors are transferred from one level to the next coarser one and back."""

from typing import Protocol

from napts.optim.vectors import Vector


class Transfer(Protocol):
    """Transfers between a level and the next coarser one.

    ``<restrict(g), s> = <g, prolong(s)>``, so that a restricted gradient is the gradient of the
    fine function along prolonged steps, and ``project(prolong(s)) = s`` for most.

    Attributes:
        stretch: The largest ``||prolong(s)|| / ||s||``, in the norm of the trust region; a radius
            is divided by it on the coarser level.
    """

    @property
    def stretch(self) -> float:
        """The largest ``||prolong(s)|| / ||s||``."""
        ...

    def restrict(self, gradient: Vector) -> Vector:
        """Return a gradient on the coarser level, ``R g``."""
        ...

    def project(self, theta: Vector) -> Vector:
        """Return parameters on the coarser level, ``P theta``."""
        ...

    def prolong(self, step: Vector) -> Vector:
        """Return a coarse step on the finer level, ``I s``."""
        ...


class Identity:
    """The transfer between levels with the same variables, such as subsets of the samples."""

    stretch = 1.0

    def restrict(self, gradient: Vector) -> Vector:
        """Return the gradient itself."""
        return gradient

    def project(self, theta: Vector) -> Vector:
        """Return the parameters themselves."""
        return theta

    def prolong(self, step: Vector) -> Vector:
        """Return the step itself."""
        return step


IDENTITY = Identity()
