"""The examples of the documentation run as they stand, each as a script by itself."""

import re

import pytest

from .pages import examples

PAGES = ('embedding.md', 'losses-in-your-loop.md')
OPTIONAL = ('lightning', 'lightly')


@pytest.mark.parametrize('example', [example for page in PAGES for example in examples(page)], ids=str)
def test_an_example_runs_after_the_demo(example, after_demo, monkeypatch):
    for package in OPTIONAL:
        if re.search(rf'^(import|from) {package}\b', example.code, re.MULTILINE):
            pytest.importorskip(package)
    monkeypatch.chdir(after_demo)
    example.run()
