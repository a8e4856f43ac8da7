"""Runs under Slurm, as the tasks of a job array."""

import getpass
import os
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from mmdclpp.apis.studies.run import Run, last_line
from mmdclpp.errors import UserError
from mmdclpp.utils.files import write_whole

_PAUSE = 15.0  # seconds between looks at the queue
_TIMEOUTS = 20  # times that a run may come to its time limit, and is queued again
_UNKNOWN = 'in an unknown state'  # it ended some time ago, and Slurm's queue has forgotten it
_ENDED = {
    *('BOOT_FAIL', 'CANCELLED', 'COMPLETED', 'DEADLINE', 'FAILED', 'LAUNCH_FAILED', 'NODE_FAIL', 'OUT_OF_MEMORY'),
    *('PREEMPTED', 'RECONFIG_FAIL', 'REVOKED', 'TIMEOUT', _UNKNOWN),
}


class SlurmExecutor:
    """Do runs as one job array, a task each, on one node each; :mod:`submitit` submits it.

    The jobs do not need this process. If it is killed, the same runs, given to an executor of the same folder, are
    waited for and not submitted again: ``slurm_job.txt`` in a run's folder has its job. A run that comes to its time
    limit, or that a more urgent job displaces, is queued again by Slurm, and goes on where it stopped.

    Args:
        gpus (int): GPUs of a run. More than one are used by its commands, which start their processes themselves.
        jobs (int, optional): Runs at a time. Defaults to None: as many as Slurm lets.
        folder (str or Path): Where Slurm's logs and submitit's files go. All nodes must see it, as the runs' folders.
        partition (str): Slurm's.
        hours (float): Time limit of a run's job, after which it is queued again. Defaults to 24.
        cpus_per_gpu (int): CPU cores. Defaults to 8.
        options (Mapping, optional): More options of ``sbatch`` by their long names, such as ``dict(account='vision')``;
            they override the above, as ``dict(gres='none')`` in a partition without GPUs. Defaults to None.

    Raises:
        UserError: If submitit or Slurm is not here.
    """

    def __init__(
        self,
        gpus: int,
        jobs: Optional[int],
        folder: Path,
        partition: str,
        hours: float = 24,
        cpus_per_gpu: int = 8,
        options: Optional[Mapping[str, Any]] = None,
    ) -> None:
        try:
            import submitit  # an optional package, and the nodes start sooner without its executors
        except ModuleNotFoundError as error:
            raise UserError('Slurm needs the package submitit: pip install -r requirements/slurm.txt') from error
        for command in ('sbatch', 'srun', 'squeue'):
            if shutil.which(command) is None:
                raise UserError(f'Slurm: {command} is not found: start the study where Slurm is, or without --slurm')
        self.jobs = jobs or 1000
        self._folder = Path(folder)
        self._job = submitit.SlurmJob
        self._submitter = submitit.SlurmExecutor(self._folder, max_num_timeout=_TIMEOUTS)
        cpus = cpus_per_gpu * gpus
        self._submitter.update_parameters(
            job_name='mmdclpp',
            partition=partition,
            time=max(1, round(60 * hours)),  # minutes
            nodes=1,
            ntasks_per_node=1,
            gres=f'gpu:{gpus}',
            cpus_per_task=cpus,
            srun_args=[f'--cpus-per-task={cpus}'],  # from Slurm 22.05 on, srun does not inherit it
            array_parallelism=self.jobs,
            stderr_to_stdout=True,
            additional_parameters={'requeue': True, **(options or {})},
        )

    def __call__(self, runs: Sequence[Run], finished: Callable[[Run], None]) -> None:
        """Submit what is not in the queue, and wait for all runs; after each, call ``finished``.

        Interrupted, it leaves the jobs to Slurm, and says how to cancel them.

        Raises:
            UserError: If Slurm refuses the jobs.
        """
        jobs = self._in_queue(runs)
        new = [run for run in runs if run not in jobs]
        if new:
            jobs.update(zip(new, self._submit(new)))
        try:
            while jobs:
                for run, state in self._ended(jobs).items():
                    self._judge(run, jobs.pop(run), state)
                    finished(run)
                if jobs:
                    time.sleep(_PAUSE)
        except KeyboardInterrupt:
            ids = ' '.join(job.job_id for job in jobs.values())
            told = f'The jobs go on, and the same command waits for them again. To cancel them: scancel {ids}'
            print(told, file=sys.stderr)
            raise

    def _in_queue(self, runs: Sequence[Run]) -> Dict[Run, Any]:
        """The jobs of the runs which an earlier study has submitted, and that have not ended."""
        noted = {run: _job_file(run).read_text().strip() for run in runs if _job_file(run).is_file()}
        states = _states() if noted else {}
        queued = {run: job_id for run, job_id in noted.items() if states.get(job_id, _UNKNOWN) not in _ENDED}
        return {run: self._job(self._folder, job_id) for run, job_id in queued.items()}

    def _submit(self, runs: Sequence[Run]) -> List[Any]:
        from submitit.core.utils import FailedJobError, FailedSubmissionError
        from submitit.helpers import clean_env, environment_variables

        for run in runs:
            run.forget_failure()
        site = {key: os.environ[key] for key in ['SLURM_CONF'] if key in os.environ}
        try:
            # The study may itself be in a job, whose variables would confuse srun.
            with clean_env(), environment_variables(**site):
                jobs = self._submitter.map_array(_Perform(), runs)
        except (FailedJobError, FailedSubmissionError) as error:
            told = ' '.join(str(error).split())
            raise UserError(f'Slurm refused the jobs ({told}): correct the options of --slurm') from error
        for run, job in zip(runs, jobs):
            write_whole(_job_file(run), job.job_id)
        return jobs

    @staticmethod
    def _ended(jobs: Mapping[Run, Any]) -> Dict[Run, str]:
        """The runs whose jobs have ended, with Slurm's state."""
        try:
            states = _states()
        except UserError as error:  # Slurm's controller restarts, or is busy
            warnings.warn(f'{error}; trying again', stacklevel=2)
            return {}
        ends = {run: states.get(job.job_id, _UNKNOWN) for run, job in jobs.items()}
        return {run: state for run, state in ends.items() if state in _ENDED}

    @staticmethod
    def _judge(run: Run, job: Any, state: str) -> None:
        """Note a run as failed if Slurm ended it."""
        list(run.folder.iterdir())  # on a network file system, opening a folder shows what other machines wrote
        if run.status == 'unfinished' or (run.status == 'failed' and state not in ('COMPLETED', _UNKNOWN)):
            log = job.paths.stdout
            told = f'{last_line(log)} (log: {log})' if log.is_file() else 'it had not begun'
            run.fail(f'Slurm job {job.job_id} ended {state}: {run.error or told}')


class _Perform:
    """What a job does. submitit has what has a ``checkpoint`` queued again before Slurm ends it."""

    def __call__(self, run: Run) -> bool:
        return run.perform()

    def checkpoint(self, run: Run) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, run)  # from the start: steps that are done are not done again


def _job_file(run: Run) -> Path:
    return run.folder / 'slurm_job.txt'


def _states() -> Dict[str, str]:
    """The states of this user's jobs that are queued or run, or have ended some minutes ago.

    They are asked of the queue, which every Slurm has, and not of its accounting. What is queued again, after a node
    failure for one, never leaves the queue.
    """
    command = ['squeue', '--noheader', '--array', '--states=all', '--format=%i %T', f'--user={getpass.getuser()}']
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        raise UserError(f'squeue failed ({" ".join(found.stderr.split())}): see whether Slurm runs')
    return dict(line.split() for line in found.stdout.splitlines())
