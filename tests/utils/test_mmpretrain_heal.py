"""mmpretrain's models import beside any transformers. Each case is a process of its own."""

import os
import subprocess
import sys

import pytest

CODE = """
import mmdclpp.registry
from mmpretrain.models import VisionTransformer
from mmpretrain.utils.dependency import WITH_MULTIMODAL
print(WITH_MULTIMODAL)
"""


@pytest.mark.parametrize('version', ['5.0.0', '12.1.0'])
def test_a_transformers_newer_than_mmpretrain_knows_only_costs_its_multimodal_models(repo, tmp_path, version):
    for name, found in (('transformers', version), ('pycocotools', '2.0.11')):
        (tmp_path / f'{name}-{found}.dist-info').mkdir()
        (tmp_path / f'{name}-{found}.dist-info' / 'METADATA').write_text(f'Name: {name}\nVersion: {found}\n')
        (tmp_path / f'{name}.py').write_text('')
    path = os.pathsep.join([str(tmp_path), str(repo)])
    result = subprocess.run(
        [sys.executable, '-c', CODE],
        env={**os.environ, 'PYTHONPATH': path},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ['False']
