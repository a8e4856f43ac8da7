"""torchvision imports, healed or healthy; other failures stay visible. Each case is a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Optional

import pytest

HEAL = 'from mmdclpp.utils.torchvision_heal import heal_torchvision as heal\n'
# What torchvision does on import: it registers a fake kernel for an operator that its extension should have declared.
LACKS_OPERATORS = "import torch\ntorch.library.register_fake('torchvision::nms', lambda dets, scores, iou: dets)\n"


def python(repo: Path, code: str, fake: Optional[Path] = None) -> subprocess.CompletedProcess:
    path = os.pathsep.join(str(entry) for entry in (fake, repo) if entry is not None)
    return subprocess.run(
        [sys.executable, '-c', code],
        env={**os.environ, 'PYTHONPATH': path},
        capture_output=True,
        text=True,
        timeout=180,
    )


def fake_torchvision(folder: Path, source: str) -> Path:
    package = folder / 'torchvision'
    package.mkdir()
    (package / '__init__.py').write_text(source)
    return folder


def test_the_installed_torchvision_serves_timm_after_the_heal(repo):
    result = python(repo, f'{HEAL}print(heal(), heal())\nimport timm, torchvision.transforms')
    assert result.returncode == 0, result.stderr
    broken = python(repo, 'import torchvision').returncode != 0
    assert result.stdout.split() == [str(broken)] * 2


def test_a_torchvision_without_operators_is_healed_and_says_so(repo, tmp_path):
    fake = fake_torchvision(tmp_path, LACKS_OPERATORS)
    assert 'torchvision::nms does not exist' in python(repo, 'import torchvision', fake).stderr
    assert python(repo, f'{HEAL}print(heal())', fake).stdout == 'True\n'


def test_a_healed_operator_still_cannot_be_called(repo, tmp_path):
    fake = fake_torchvision(tmp_path, LACKS_OPERATORS)
    call = 'import torch\nboxes = torch.zeros(1, 4)\ntorch.ops.torchvision.nms(boxes, boxes[:, 0], 0.5)'
    assert 'NotImplementedError' in python(repo, f'{HEAL}heal()\n{call}', fake).stderr


def test_a_healthy_torchvision_is_left_alone(repo, tmp_path):
    assert python(repo, f'{HEAL}print(heal())', fake_torchvision(tmp_path, '')).stdout == 'False\n'


@pytest.mark.parametrize(
    ('source', 'error'),
    [
        ("raise RuntimeError('out of memory')", 'RuntimeError: out of memory'),
        ("raise ModuleNotFoundError('no torchvision')", 'ModuleNotFoundError: no torchvision'),
    ],
)
def test_another_failure_is_passed_on(repo, tmp_path, source, error):
    assert error in python(repo, f'{HEAL}heal()', fake_torchvision(tmp_path, source)).stderr
