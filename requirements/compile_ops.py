"""Compile mmcv's operators for the torch of this environment, then install mmdet, which needs them.

    make ops                              into the environment of `make`
    python requirements/compile_ops.py    into the one that runs it

pip alone hides what a build prints, for 10 to 20 minutes; here a bar shows the files compiled and the time left. The
environment is not touched before the wheel is complete, and an interrupted compilation goes on where it stopped.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from itertools import chain
from pathlib import Path
from typing import Iterator, Tuple

from mmdclpp.apis._cli import run_tool
from mmdclpp.errors import UserError
from mmdclpp.utils.progress import ProgressBar

ROOT = Path(__file__).resolve().parents[1]
# What ninja prints as a file is done: [12/78] c++ ...
STEP = re.compile(r'\[(\d+)/(\d+)\]')
BUILD_TOOLS = ('ninja', 'setuptools<81', 'wheel', 'packaging')


def main() -> None:
    requirement = re.search(r'^onedl-mmcv==\S+', (ROOT / 'requirements.txt').read_text(), re.MULTILINE)[0]
    if has_operators():
        print('mmcv has its compiled operators already')
    else:
        wheel = compile_wheel(requirement, require_toolchain())
        pip('install', '--quiet', '--no-deps', '--force-reinstall', str(wheel))
        shutil.rmtree(wheel.parent)
    install = ['bash', str(ROOT / 'requirements/install.sh'), '-r', 'requirements/mmdet.txt']
    if subprocess.run(install, env={**os.environ, 'PYTHON': sys.executable}).returncode != 0:
        raise UserError('mmdet was not installed, see above; mmcv has its operators: run this again')


def has_operators() -> bool:
    """Whether mmcv's operators load; not in this process, which is about to replace mmcv."""
    return subprocess.run([sys.executable, '-c', 'import torch, mmcv._ext'], capture_output=True).returncode == 0


def require_toolchain() -> str:
    """The version of torch to compile for.

    Raises:
        UserError: If a compiler, Python's headers or, where torch sees a GPU, the CUDA toolkit is missing.
    """
    import torch
    from torch.utils.cpp_extension import CUDA_HOME

    compiler = os.environ.get('CXX', 'c++')
    if shutil.which(compiler) is None:
        raise UserError(f'no C++ compiler {compiler!r}: install one (Debian: apt-get install g++), or name it in CXX')
    headers = Path(sysconfig.get_path('include'))
    if not (headers / 'Python.h').is_file():
        raise UserError(f'{headers} has no Python.h: install the headers of this Python (Debian: python3-dev)')
    if torch.cuda.is_available() and CUDA_HOME is None:
        raise UserError(
            'torch sees a GPU, but there is no CUDA toolkit: name it in CUDA_HOME, or set CUDA_VISIBLE_DEVICES= '
            'to compile for the CPU alone'
        )
    return torch.__version__


def compile_wheel(requirement: str, torch_version: str) -> Path:
    """Build mmcv's wheel with operators.

    Args:
        requirement (str): ``onedl-mmcv==VERSION``.
        torch_version (str): What it is compiled against; objects made for another version are not taken up.

    Returns:
        Path: The wheel, in the folder of the compilation.

    Raises:
        UserError: If the compilation fails. What it made stays for the next try.
    """
    folder = Path(sys.prefix) / f'compile-{requirement}-torch-{torch_version}'
    source, tools, log = folder / 'source', folder / 'tools', folder / 'log.txt'
    folder.mkdir(exist_ok=True)
    # Beside the environment's packages, not among them: it stays as it is until the wheel is there.
    pip('install', '--quiet', '--no-deps', '--upgrade', '--target', str(tools), *BUILD_TOOLS)
    env = {
        'MAX_JOBS': str(len(os.sched_getaffinity(0))),  # mmcv takes four at least: too many for a small memory
        'CFLAGS': sysconfig.get_config_var('CFLAGS'),
        **os.environ,
        'PYTHONPATH': str(tools),
        'PATH': f'{tools / "bin"}{os.pathsep}{os.environ["PATH"]}',
    }
    env['CFLAGS'] += ' -g0'  # Python's own flags ask for debugging symbols, which double the time
    if not source.is_dir():
        as_source = ('--no-deps', '--no-build-isolation', '--no-binary', ':all:', '--dest', str(folder))
        pip('download', '--quiet', *as_source, requirement, env=env)
        (archive,) = folder.glob('*.tar.gz')
        shutil.unpack_archive(archive, folder / 'unpacked')
        (folder / 'unpacked' / archive.name.removesuffix('.tar.gz')).rename(source)

    print(f'Compiling {requirement} with {env["MAX_JOBS"]} jobs: some 10 to 20 minutes on two cores (log: {log})')
    command = [sys.executable, '-m', 'pip', 'wheel', '-v', '--no-deps', '--no-build-isolation', '--no-cache-dir']
    process = subprocess.Popen(
        [*command, '--wheel-dir', str(folder), str(source)],
        env=env,
        text=True,
        errors='replace',
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with log.open('w') as file:
        show(steps(process.stdout, file))
    if process.wait() != 0:
        errors = [line.strip() for line in log.read_text().splitlines() if 'error' in line.lower()]
        raise UserError(f'mmcv does not compile ({errors[0] if errors else "no reason given"}): read {log}')
    (wheel,) = folder.glob('*.whl')
    return wheel


def steps(output, log) -> Iterator[Tuple[int, int]]:
    """Copy a build's output to a log; yield the number of files compiled and their total as they change."""
    for line in output:
        log.write(line)
        log.flush()
        if match := STEP.search(line):
            yield int(match[1]), int(match[2])


def show(progress: Iterator[Tuple[int, int]]) -> None:
    """A bar with the time left; none where nothing is left to compile."""
    first = next(progress, None)
    if first is None:
        return
    with ProgressBar('compiling', total=first[1]) as bar:
        for done, total in chain([first], progress):
            bar.update(done, f'{done} of {total} files')


def pip(*arguments: str, env=None) -> None:
    """Run pip in this environment.

    Raises:
        UserError: If it fails; it has said why.
    """
    if subprocess.run([sys.executable, '-m', 'pip', *arguments], env=env).returncode != 0:
        raise UserError(f'pip {arguments[0]} failed, see above: the environment is as it was')


if __name__ == '__main__':
    run_tool(main)
