"""Sweeps: one file describes many runs; plan, submit, watch, resume and collect them.

Runs are executed on this machine, several at a time, or as Slurm job arrays through submitit. The
state of a sweep is in its run directories; beside them, ``.launch`` holds a list of the submitted
jobs, their logs and the code that they run.
"""
