"""A Slurm cluster of one machine: ``fake_slurm.py COMMAND ARGUMENTS`` acts as that command of Slurm's.

It keeps a file for each job in the folder ``$FAKE_SLURM``, with its state, and runs the tasks of an array as processes,
as many at a time as the array allows. Only what the studies use is here.
"""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

LIMIT = 20  # seconds after which what still runs or waits is ended
CLUSTER = Path(os.environ['FAKE_SLURM'])


def sbatch(script):
    """Accept an array or a job, and let a process of its own run it."""
    text = Path(script).read_text()
    options = {}
    for line in re.findall('^#SBATCH --(.*)', text, re.MULTILINE):
        name, _, value = line.partition('=')
        options[name] = ''.join(shlex.split(value))
    if options['partition'] == 'nowhere':
        sys.exit('sbatch: error: invalid partition specified: nowhere')
    number = str(time.time_ns() // 1000 % 10**9)
    (CLUSTER / f'{number}.sh').write_text(text)
    if 'array' in options:
        last, parallel = map(int, re.fullmatch(r'0-(\d+)%(\d+)', options['array']).groups())
        tasks = [f'{number}_{index}' for index in range(last + 1)]
    else:
        tasks, parallel = [number], 1
    for task in tasks:
        set_state(task, 'PENDING')
    print(f'Submitted batch job {number}', flush=True)
    if os.fork() == 0:
        os.setsid()
        for stream in range(3):
            os.dup2(os.open(os.devnull, os.O_RDWR), stream)
        control(tasks, parallel, options['output'])


def control(tasks, parallel, output):
    waiting, running, end = list(tasks), {}, time.monotonic() + LIMIT
    while (waiting or running) and time.monotonic() < end:
        for task, process in list(running.items()):
            if process.poll() is not None:
                del running[task]
                end_processes(task)
                if get_state(task) == 'REQUEUED':
                    waiting.append(task)
                elif get_state(task) == 'RUNNING':
                    set_state(task, 'FAILED' if process.returncode else 'COMPLETED')
        waiting = [task for task in waiting if get_state(task) in ('PENDING', 'REQUEUED')]
        while waiting and len(running) < parallel:
            task = waiting.pop(0)
            running[task] = start(task, output)
        time.sleep(0.02)
    for task in [*waiting, *running]:
        scancel(task, 'TIMEOUT')


def start(task, output):
    number, _, index = task.partition('_')
    environment = {**os.environ, 'SLURM_JOB_ID': task, 'SLURM_PROCID': '0'}
    if index:
        environment.update(SLURM_ARRAY_JOB_ID=number, SLURM_ARRAY_TASK_ID=index)
    output = output.replace('%A_%a', task).replace('%j', task)
    set_state(task, 'RUNNING')
    with open(output, 'a') as log:
        process = subprocess.Popen(
            ['bash', CLUSTER / f'{number}.sh'], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    (CLUSTER / f'{task}.pid').write_text(str(process.pid))
    return process


def srun(*arguments):
    command = list(arguments)
    while command[0].startswith('--'):
        option = command.pop(0)
        if option == '--output':  # the log of the job, which is already open
            command.pop(0)
    os.execvp(command[0], command)


def squeue(*_):
    for job in CLUSTER.glob('*.state'):
        print(job.stem, job.read_text())


def scancel(task, state='CANCELLED'):
    """Besides what Slurm's does, it lets a job end in another state."""
    set_state(task, state)
    end_processes(task)


def scontrol(_, task):
    set_state(task, 'REQUEUED')


def end_processes(task):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has not begun, or has ended
        os.killpg(int((CLUSTER / f'{task}.pid').read_text()), signal.SIGKILL)


def get_state(task):
    return (CLUSTER / f'{task}.state').read_text()


def set_state(task, state):
    temporary = CLUSTER / f'{task}.{os.getpid()}'
    temporary.write_text(state)
    temporary.rename(CLUSTER / f'{task}.state')


if __name__ == '__main__':
    globals()[sys.argv[1]](*sys.argv[2:])
