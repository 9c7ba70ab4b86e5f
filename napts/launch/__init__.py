"""Sweeps: one file describes many runs; plan, submit, watch, resume and collect them.

Runs are executed on this machine, several at a time, or as job arrays of Slurm through submitit.
What is known of a sweep is in its run directories; beside them, in ``.launch``, are a list of the
jobs that were submitted, their logs and the code that they run.
"""
