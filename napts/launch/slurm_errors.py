"""The error of everything that asks Slurm; apart, so that submitit is imported only with Slurm."""


class SlurmUnavailable(RuntimeError):
    """A command of Slurm is missing or failed."""
