"""How `make ops` compiles, with a stand-in for pip that only notes what it is asked."""

import importlib.util
import sys
import tarfile

import pytest

from mmdclpp.errors import UserError

# Gives a source archive when asked to download one; compiles two files, or fails at the second when $BROKEN is set.
PYTHON = """#!/bin/sh
echo "$*" >> "$NOTES"
case "$*" in
    '-m pip download '*) cp "$ARCHIVE" "$(echo "$*" | sed 's/.*--dest \\([^ ]*\\).*/\\1/')" ;;
    '-m pip wheel '*)
        echo '[1/2] c++ first.cpp'
        test -z "$BROKEN" || { echo 'second.cpp:1: error: no such thing'; exit 1; }
        echo '[2/2] c++ second.cpp'
        touch "$(echo "$*" | sed 's/.*--wheel-dir \\([^ ]*\\).*/\\1/')/onedl_mmcv-1.0-any.whl" ;;
    -c*) exit 1 ;;
esac
"""


@pytest.fixture
def compile_ops(repo, tmp_path, monkeypatch):
    """The script as a module, with an environment of its own."""
    spec = importlib.util.spec_from_file_location('compile_ops', repo / 'requirements/compile_ops.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    archive, python = tmp_path / 'onedl_mmcv-1.0.tar.gz', tmp_path / 'python'
    (tmp_path / 'onedl_mmcv-1.0').mkdir()
    with tarfile.open(archive, 'w:gz') as file:
        file.add(tmp_path / 'onedl_mmcv-1.0', 'onedl_mmcv-1.0')
    python.write_text(PYTHON)
    python.chmod(0o755)
    monkeypatch.setattr(sys, 'executable', str(python))
    monkeypatch.setattr(sys, 'prefix', str(tmp_path))
    monkeypatch.setattr(module, 'require_toolchain', lambda: '2.13.0+cpu')
    monkeypatch.setenv('ARCHIVE', str(archive))
    monkeypatch.setenv('NOTES', str(tmp_path / 'notes'))
    return module


def installed(tmp_path):
    """What pip was asked to install into the environment itself."""
    lines = (tmp_path / 'notes').read_text().splitlines()
    return [line for line in lines if ' install ' in line and '--target' not in line]


def test_the_wheel_is_installed_then_mmdet(compile_ops, tmp_path, capsys):
    compile_ops.main()
    wheel, requirements, *_ = installed(tmp_path)
    assert wheel.endswith('onedl_mmcv-1.0-any.whl')
    assert requirements.endswith('-r requirements.txt -r requirements/mmdet.txt')
    assert '2 of 2 files' in capsys.readouterr().out
    assert not list(tmp_path.glob('compile-*'))


def test_a_failed_compilation_leaves_the_environment_alone_and_is_taken_up_again(compile_ops, tmp_path, monkeypatch):
    monkeypatch.setenv('BROKEN', 'yes')
    with pytest.raises(UserError, match=r'does not compile \(second.cpp:1: error: no such thing\): read .*log.txt'):
        compile_ops.main()
    assert installed(tmp_path) == []

    monkeypatch.delenv('BROKEN')
    compile_ops.main()
    assert len(installed(tmp_path)) > 0
    assert (tmp_path / 'notes').read_text().count(' download ') == 1


def test_a_missing_compiler_is_named_before_anything_is_done(repo, monkeypatch):
    spec = importlib.util.spec_from_file_location('compile_ops', repo / 'requirements/compile_ops.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv('CXX', 'no-such-compiler')
    with pytest.raises(UserError, match="no C.. compiler 'no-such-compiler': install one"):
        module.require_toolchain()
