"""Which files are found behind links."""

import pytest

from mmdclpp.datasets.walk_files import walk_files


@pytest.fixture
def root(tmp_path):
    for name in ('root/b/2', 'root/b/1', 'root/a', 'elsewhere/deep/c', 'elsewhere/d'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path / 'root'


def found(root):
    return [path.removeprefix(f'{root}/') for path in walk_files(root)]


def test_files_come_in_the_order_of_their_folders(root):
    assert found(root) == ['a', 'b/1', 'b/2']


def test_links_to_folders_elsewhere_are_followed_also_behind_links(root):
    (root / 'link').symlink_to(root.parent / 'elsewhere')
    (root.parent / 'elsewhere' / 'more').symlink_to('../third')
    (root.parent / 'third').mkdir()
    (root.parent / 'third' / 'e').touch()
    assert found(root) == ['a', 'b/1', 'b/2', 'link/d', 'link/deep/c', 'link/more/e']


@pytest.mark.parametrize(
    'links', [dict(here='.'), dict(here='.', there='.'), {'b/up': '..', 'b/here': '.'}, {'b/out': '../..'}], ids=str
)
def test_links_to_a_folder_above_add_nothing_of_it(root, links):
    for link, target in links.items():
        (root / link).symlink_to(target)
    assert found(root) == ['a', 'b/1', 'b/2'] + ['b/out/elsewhere/d', 'b/out/elsewhere/deep/c'] * ('b/out' in links)


def test_a_folder_is_entered_once_and_rather_by_its_own_name(root):
    (root / 'a_link').symlink_to('b')
    (root / 'one').symlink_to('../elsewhere')
    (root / 'two').symlink_to('../elsewhere')
    assert found(root) == ['a', 'b/1', 'b/2', 'one/d', 'one/deep/c']


def test_links_that_lead_nowhere_do_no_harm(root):
    (root / 'self').symlink_to('self')
    (root / 'gone').symlink_to('nowhere')
    assert {'a', 'b/1', 'b/2'} <= set(found(root))
