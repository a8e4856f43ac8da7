"""The supported versions are the same wherever they are said."""

import re

import pytest

from mmdclpp.utils.versions import PYTHON, SUPPORTED, Supported


def test_the_tested_versions_are_those_of_the_requirements(repo):
    pins = {}
    for name in ('requirements.txt', 'requirements/mmdet.txt'):
        pins |= dict(re.findall(r'^([\w-]+)==([\w.]+)$', (repo / name).read_text(), flags=re.MULTILINE))
    assert {name: versions.tested for name, versions in SUPPORTED.items()}.items() <= pins.items()


def test_the_installation_guide_shows_every_range_and_tested_version(repo):
    guide = (repo / 'docs/installation.md').read_text()
    rows = re.findall(r'^\| ([\w-]+) \| `(>=.+)` \| ([\w.]+) \|$', guide, flags=re.MULTILINE)
    shown = [('Python', PYTHON), *SUPPORTED.items()]
    assert rows == [(name, versions.specifier, versions.tested) for name, versions in shown]


def test_make_and_the_ci_know_the_same_pythons(repo):
    first, end = (int(version.split('.')[1]) for version in (PYTHON.minimum, PYTHON.below))
    pythons = [f'3.{minor}' for minor in range(first, end)]
    assert f'case $$version in {"|".join(pythons)}) ;;' in (repo / 'Makefile').read_text()
    assert f'python: {pythons}' in (repo / '.github/workflows/ci.yml').read_text()
    assert PYTHON.tested in pythons


@pytest.mark.parametrize(
    ('version', 'accepted'),
    [
        ('2.3.9', False),
        ('2.4', True),
        ('2.4.0', True),
        ('2.10.1+cpu', True),
        ('2.15.0a0+git12', True),
        ('3.0.0', False),
    ],
)
def test_versions_are_compared_by_their_numbers(version, accepted):
    assert Supported('2.4', '3', '2.13.0').accepts(version) is accepted
