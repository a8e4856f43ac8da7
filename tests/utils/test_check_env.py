"""What an installation lacks or mixes is found, with the remedy."""

import re

import pytest

from mmdclpp.utils.check_env import Survey, examine, report
from mmdclpp.utils.versions import SUPPORTED

MAINTAINED = {name: versions.tested for name, versions in SUPPORTED.items() if name != 'onedl-mmdetection'}


def judge(*levels, remove=(), add=None, **survey):
    """The findings of the given levels for the tested set with some distributions removed and added."""
    installed = {name: version for name, version in MAINTAINED.items() if name not in remove}
    findings = examine(Survey({**installed, **(add or {})}, **survey))
    return [finding for finding in findings if finding.level in levels]


def test_the_tested_set_has_neither_errors_nor_warnings():
    assert judge('error', 'warning') == []


@pytest.mark.parametrize('upstream', ['mmengine', 'mmengine-lite', 'mmcv-lite', 'mmpretrain', 'mmsegmentation'])
def test_two_distributions_of_one_module_are_an_error_whose_remedy_removes_both(upstream):
    (finding,) = judge('error', add={upstream: '1.0.0'})
    maintained = 'onedl-' + upstream.removesuffix('-lite')
    assert f'{maintained} and {upstream} both install' in finding.message
    assert finding.remedy.startswith(f'pip uninstall -y {maintained} {upstream} && ')


def test_an_upstream_package_beside_the_maintained_ones_is_an_error():
    (finding,) = judge('error', remove=['onedl-mmsegmentation'], add={'mmsegmentation': '1.2.2'})
    assert 'upstream mmsegmentation beside onedl-mmengine' in finding.message


def test_upstream_packages_alone_are_only_a_warning():
    maintained = [name for name in MAINTAINED if name.startswith('onedl-')]
    upstream = {'mmengine': '0.11.0', 'mmcv': '2.3.0', 'mmpretrain': '1.3.0'}
    assert judge('error', remove=maintained, add=upstream) == []
    (finding,) = judge('warning', remove=maintained, add=upstream)
    assert 'mmengine, mmcv, mmpretrain are upstream' in finding.message


@pytest.mark.parametrize(
    ('case', 'level', 'message'),
    [
        (dict(import_errors={'mmcv': "No module named 'mmcv'"}), 'error', 'module mmcv cannot be imported'),
        (dict(healed=True), 'warning', 'torchvision has no compiled operators'),
        (dict(add={'opencv-python': '5.0.0.93'}), 'warning', 'overwrite each other'),
        (dict(add={'timm': '0.9.0'}), 'error', 'timm 0.9.0 is not supported: >=1.0,<2 is needed'),
        (dict(add={'timm': '1.0.9'}), 'warning', 'timm is 1.0.9: within the supported >=1.0,<2, but tested is 1.0.31'),
        (dict(python='3.13.0'), 'error', 'Python 3.13.0 is not supported: >=3.10,<3.13 is needed'),
    ],
)
def test_each_fault_is_found_with_a_remedy(case, level, message):
    (finding,) = judge('error', 'warning', **case)
    assert finding.level == level
    assert message in finding.message
    assert finding.remedy


def test_a_local_build_of_the_tested_version_is_the_tested_version():
    assert judge('warning', add={'torch': SUPPORTED['torch'].tested + '+cpu'}) == []


def test_mmpretrain_beside_transformers_5_is_explained():
    assert judge('info', add={'transformers': '4.57.1'}) == judge('info')
    (finding, _) = judge('info', add={'transformers': '5.23.0'})
    assert 'import mmdclpp.registry' in finding.message


@pytest.mark.parametrize(('present', 'message'), [(True, 'has compiled operators'), (False, 'no compiled operators')])
def test_compiled_operators_are_information_only(present, message):
    (finding,) = judge('error', 'warning', 'info', mmcv_ops=present)
    assert finding.level == 'info'
    assert message in finding.message


def test_the_report_shows_versions_errors_first_and_remedies():
    survey = Survey({**MAINTAINED, 'mmcv': '2.2.0', 'timm': '1.0.9'}, device='CPU, 2 threads', python='3.12.1')
    text = report(survey, examine(survey))
    assert text.index('python                  3.12.1') < text.index('onedl-mmcv              2.3.6')
    assert text.index('error: ') < text.index('warning: ') < text.index('info: ')
    assert 'remedy: pip uninstall -y onedl-mmcv mmcv' in text


def test_the_tool_reports_on_this_environment(run):
    result = run('tools/check_env.py')
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r'^torch +\d', result.stdout, flags=re.MULTILINE)
