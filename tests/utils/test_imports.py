"""Packages that may be missing."""

import json

import pytest

from mmdclpp.errors import UserError
from mmdclpp.utils.imports import import_optional


def test_an_optional_module_is_imported_where_it_is():
    assert import_optional('json', 'any') is json


def test_a_missing_package_is_named_with_the_extra_that_brings_it():
    with pytest.raises(UserError, match=r'no_such_package is not installed: pip install "mmdclpp\[export\]"'):
        import_optional('no_such_package.part', 'export')


def test_what_a_package_itself_lacks_is_not_taken_for_it(tmp_path, monkeypatch):
    (tmp_path / 'some_package_of_this_test.py').write_text('import no_such_dependency')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match='no_such_dependency'):
        import_optional('some_package_of_this_test', 'export')
