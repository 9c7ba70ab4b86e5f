"""Newton steps from conjugate gradients, as a local solver and as a trust region's model."""

from torch import Tensor

from napts.optim import vectors
from napts.optim.communicator import ONE_PROCESS, Communicator
from napts.optim.local_model import CurvedModel, Memoryless, Step
from napts.optim.multilevel.armijo import Armijo
from napts.optim.multilevel.conjugate_gradients import ConjugateGradients
from napts.optim.multilevel.descent import Descent
from napts.optim.multilevel.level import Function
from napts.optim.sums.finite_sum import HessianProduct
from napts.optim.vectors import Norm, Vector


class NewtonCG(Descent):
    """Takes truncated Newton steps on a level.

    Args:
        steps: Their number.
        length: Fixed factor of each; ``None`` for the line search, which starts at 1.
        solver: Finds the directions.
        search: The line search.
    """

    def __init__(
        self,
        steps: int = 1,
        length: float | None = None,
        solver: ConjugateGradients | None = None,
        search: Armijo | None = None,
    ) -> None:
        super().__init__(steps, length, search)
        self._solver = solver or ConjugateGradients()

    def _direction(self, function: Function, theta: Vector, gradient: Vector) -> Vector:
        return self._solver.solve(function.hessian(theta), gradient).step


class NewtonModel(CurvedModel):
    """The quadratic model with the Hessian itself, minimised by truncated conjugate gradients.

    Args:
        gradient: ``g_k``.
        multiply: Multiplies with the Hessian at the iterate.
        solver: Finds the model's own step.
    """

    def __init__(
        self, gradient: Vector, multiply: HessianProduct, solver: ConjugateGradients
    ) -> None:
        self.gradient = gradient
        self._multiply, self._solver = multiply, solver

    def minimise(self, radius: float) -> Step:
        """Return the truncated step in the ball of that radius."""
        found = self._solver.solve(self._multiply, self.gradient, radius)
        return Step(found.step, found.predicted, found.length)

    def reduction(self, step: Vector) -> Tensor | float:
        """Return the predicted reduction of any step; costs a product."""
        curved = vectors.dot(step, self._multiply(step))
        return -(vectors.dot(self.gradient, step) + 0.5 * curved)


class NewtonModels(Memoryless):
    """Makes the model with the Hessian of a function at each iterate.

    Args:
        function: The function whose Hessians are used.
        solver: Finds the steps.
    """

    norm: Norm = "l2"

    def __init__(self, function: Function, solver: ConjugateGradients) -> None:
        self._function, self._solver = function, solver
        self._theta: Vector = []

    def observe(self, theta: Vector, gradient: Vector) -> None:
        """Take over the next iterate."""
        self._theta = theta

    def at(self, gradient: Vector, communicator: Communicator = ONE_PROCESS) -> NewtonModel:
        """Return the model around the iterate that was observed last."""
        return NewtonModel(gradient, self._function.hessian(self._theta), self._solver)

    def restricted(self, block: int | None) -> "NewtonModels":
        """Return the same models, which are for all blocks together.

        Raises:
            ValueError: For one block alone.
        """
        if block is not None:
            raise ValueError("models with a Hessian are for all blocks together")
        return self
