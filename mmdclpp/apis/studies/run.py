"""One training of a study with what follows it: commands that anyone can run, each done once."""

import dataclasses
import fcntl
import json
import os
import re
import shlex
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from mmdclpp.utils.files import write_whole
from mmdclpp.version import __version__


class Step(NamedTuple):
    """A part of a run: its name, which names its log, and its command."""

    name: str
    command: Tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.command)


class Busy(Exception):
    """Another process is at this run."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What to do, in which folder.

    Attributes:
        name (str): For messages.
        folder (Path): Where everything of the run lies: ``config.py``, logs, checkpoints, evaluations.
        config (str): Text of ``config.py``.
        steps (Tuple[Step, ...]): In this order. All go on where they stopped.
    """

    name: str
    folder: Path
    config: str
    steps: Tuple[Step, ...]

    def undone(self) -> List[Step]:
        """The steps that are not done."""
        done = self.notes()
        return [step for step in self.steps if step.name not in done]

    @property
    def status(self) -> str:
        """``'done'``, ``'failed'`` or ``'unfinished'``."""
        if not self.undone():
            return 'done'
        return 'failed' if self._failure.is_file() else 'unfinished'

    @property
    def error(self) -> str:
        """Why it failed, and where the log is; '' if it did not."""
        return self._failure.read_text().strip() if self.status == 'failed' else ''

    def notes(self) -> Dict[str, Dict[str, Any]]:
        """Of each step that is done: ``seconds``, of all attempts that were not killed, and ``commit``."""
        notes = {step.name: read_json(self._note(step)) for step in self.steps}
        return {name: note for name, note in notes.items() if note is not None}

    def perform(
        self, environment: Optional[Mapping[str, str]] = None, execute: Callable[..., int] = subprocess.call
    ) -> bool:
        """Do what is not done, up to a step that fails.

        Args:
            environment (Mapping, optional): Environment of the commands. Defaults to None, that of this process.
            execute (Callable): Called with a command and the keywords of ``Popen``, it returns the exit status.
                Defaults to ``subprocess.call``.

        Returns:
            bool: Whether all is done.

        Raises:
            Busy: If another process is at it.
        """
        with self._locked() as lock:
            self.forget_failure()
            write_whole(self.folder / 'config.py', self.config)
            for step in self.undone():
                start, log, code = time.monotonic(), self.folder / f'{step.name}.log', commit()
                spent = self.folder / f'{step.name}.seconds'
                before = read_json(spent) or 0.0
                with log.open('a') as output:
                    output.write(f'$ {step}\n')
                    output.flush()
                    # The command holds the lock too: it may outlive a study that is killed.
                    keywords = dict(stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, pass_fds=[lock])
                    try:
                        status = execute(step.command, env=environment, **keywords)
                    finally:
                        seconds = round(before + time.monotonic() - start, 1)
                        write_whole(spent, json.dumps(seconds))
                if status:
                    self.fail(f'{step.name} ended with status {status}: {last_line(log)} (log: {log})')
                    return False
                write_whole(self._note(step), json.dumps(dict(seconds=seconds, commit=code)))
                spent.unlink()
        return True

    def fail(self, message: str) -> None:
        """Note that the run failed, and why."""
        write_whole(self._failure, message)

    def forget_failure(self) -> None:
        """Make a run that failed unfinished: it will be tried again."""
        self._failure.unlink(missing_ok=True)

    def _note(self, step: Step) -> Path:
        return self.folder / f'{step.name}.done'

    @property
    def _failure(self) -> Path:
        return self.folder / 'failed.txt'

    @contextmanager
    def _locked(self) -> Iterator[int]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / 'lock').open('w') as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Busy(f'another process is at {self.name}') from error
            yield lock.fileno()


def read_json(file: Path) -> Any:
    """What a file holds; None if it is not there, or a power cut left it empty."""
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def last_line(log: Path) -> str:
    """The last line that says something, of the last command in a log; rather one that tells a user's mistake."""
    with log.open('rb') as file:
        file.seek(max(0, os.path.getsize(log) - 10_000))
        lines = file.read().decode(errors='replace').splitlines()
    start = max((index + 1 for index, line in enumerate(lines) if line.startswith('$ ')), default=0)
    lines = [line.strip() for line in lines[start:] if re.search(r'\w', line)]
    told = [line for line in lines if line.startswith('error: ')]
    return (told or lines or ['no output'])[-1]


def commit() -> str:
    """The commit of the code that runs, ``-dirty`` if files differ; of an installed package the version."""
    command = ['git', 'describe', '--always', '--dirty', '--abbrev=10']
    here = Path(__file__).resolve().parent
    try:
        found = subprocess.run(command, cwd=here, capture_output=True, text=True)
    except FileNotFoundError:  # no git
        return f'version {__version__}'
    return found.stdout.strip() if found.returncode == 0 else f'version {__version__}'
