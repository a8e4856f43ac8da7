"""How `make` keeps the virtual environment, with a stand-in for Python that only notes what pip is asked."""

import os
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.skipif(shutil.which('make') is None, reason='needs make')

# Answers to `-c` with a version, to `-m venv` with a copy of itself that keeps its version, to `-m pip` as $PIP says.
PYTHON = """#!/bin/sh
case "$1 $2" in
    -c*) echo "$VERSION" ;;
    '-m venv') mkdir -p "$4/bin" && sed "s/[$]VERSION/$VERSION/" "$0" > "$4/bin/python" && chmod +x "$4/bin/python"
        echo venv >> "$NOTES" ;;
    '-m pip') echo "$*" >> "$NOTES"; exit "$PIP" ;;
esac
"""


@pytest.fixture
def set_up(repo, tmp_path):
    """Run `make setup`, or another target, and return its result with the commands given to pip and venv."""
    python, notes = tmp_path / 'python', tmp_path / 'notes'
    python.write_text(PYTHON)
    python.chmod(0o755)

    def _set_up(version: str = '3.11', pip: int = 0, target: str = 'setup'):
        notes.write_text('')
        result = subprocess.run(
            ['make', '--no-print-directory', '-C', repo, target, f'PYTHON={python}', f'VENV={tmp_path / "venv"}'],
            env={**os.environ, 'VERSION': version, 'PIP': str(pip), 'NOTES': str(notes)},
            capture_output=True,
            text=True,
        )
        return result, notes.read_text().splitlines()

    return _set_up


@pytest.mark.parametrize('version', ['3.9', '3.13'])
def test_another_python_is_refused_in_one_line(set_up, version):
    result, notes = set_up(version)
    assert result.returncode != 0
    assert result.stderr.splitlines()[0].endswith(
        f'is Python {version}, but 3.10, 3.11 or 3.12 is needed: name one with PYTHON=...'
    )
    assert notes == []


@pytest.mark.parametrize('version', ['3.10', '3.11', '3.12'])
def test_a_complete_environment_is_reused(set_up, version):
    result, notes = set_up(version)
    assert result.returncode == 0, result.stderr
    assert notes[:2] == ['venv', '-m pip install -r requirements.txt']
    assert notes[-1].endswith('--editable .')
    assert set_up(version)[1] == []


def test_what_the_tests_need_comes_on_top_and_only_for_them(set_up):
    set_up()
    result, notes = set_up(target='setup-dev')
    assert result.returncode == 0, result.stderr
    assert notes[0] == '-m pip install -r requirements.txt -r requirements/test.txt'
    assert set_up()[1] == [] and set_up(target='setup-dev')[1] == []


def test_an_interrupted_installation_is_done_again(set_up):
    result, notes = set_up(pip=1)
    assert result.returncode != 0
    result, notes = set_up()
    assert result.returncode == 0
    assert notes[0].startswith('-m pip install')  # the environment itself was complete


def test_another_python_means_a_new_environment(set_up):
    set_up('3.11')
    assert set_up('3.12')[1][0] == 'venv'


def test_the_desktop_opencv_gives_way_to_the_headless_one(set_up):
    _, notes = set_up()
    remove = notes.index('-m pip uninstall --yes --quiet opencv-python')
    assert notes[remove + 1].startswith('-m pip install --quiet --no-deps --force-reinstall opencv-python-headless==')
