#!/bin/bash

# Parameters
#SBATCH --array=0-1%2
#SBATCH --cpus-per-task=1
#SBATCH --error=/records/.launch/tests/jobs/1/%A_%a_0_log.err
#SBATCH --gpus-per-node=4
#SBATCH --job-name=napts-tests
#SBATCH --mem=65536MB
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --open-mode=append
#SBATCH --output=/records/.launch/tests/jobs/1/%A_%a_0_log.out
#SBATCH --partition=gpu
#SBATCH --requeue
#SBATCH --signal=USR2@120
#SBATCH --time=240
#SBATCH --wckey=submitit

# setup
export PYTHONPATH=/records/.launch/tests/code/0123456789ab
export PYTHONSAFEPATH=1
export OMP_NUM_THREADS=1
export SRUN_CPUS_PER_TASK=1
export NAPTS_DATA=/data

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output /records/.launch/tests/jobs/1/%A_%a_%t_log.out --error /records/.launch/tests/jobs/1/%A_%a_%t_log.err /venv/bin/python -u -m submitit.core._submit /records/.launch/tests/jobs/1
