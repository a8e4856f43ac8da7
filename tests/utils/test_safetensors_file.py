"""Checkpoints in safetensors' form."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mmdclpp.errors import UserError
from mmdclpp.models.backbones.pretrained import load_part
from mmdclpp.utils.safetensors_file import is_safetensors, is_whole_safetensors, pack_safetensors, read_safetensors

STATE = {'qkv': torch.arange(6.0).view(6, 1), 'steps': torch.tensor(7), 'norm': torch.rand(3)}
KEYS = {'qkv': ['q', 'k', 'v'], 'steps': ['number'], 'norm': ['deep.norm']}


def test_other_libraries_find_their_keys_and_we_ours(tmp_path):
    path = tmp_path / 'a.safetensors'
    path.write_bytes(pack_safetensors(STATE, KEYS, dict(cfg='model = dict()', seed=3)))
    with safe_open(path, 'pt') as file:
        assert set(file.keys()) == {'q', 'k', 'v', 'number', 'deep.norm'} and file.metadata()['format'] == 'pt'
        assert torch.equal(file.get_tensor('k'), STATE['qkv'][2:4])
    content = read_safetensors(path)
    assert content['meta'] == dict(cfg='model = dict()', seed=3)
    assert content['state_dict'].keys() == STATE.keys()
    assert all(torch.equal(value, STATE[key]) for key, value in content['state_dict'].items())


def test_weights_that_share_memory_are_written_each_by_itself(tmp_path):
    shared = torch.rand(4, 2)
    state = dict(whole=shared, part=shared[:2])
    (tmp_path / 'a.safetensors').write_bytes(pack_safetensors(state, {key: [key] for key in state}, {}))
    read = read_safetensors(tmp_path / 'a.safetensors')['state_dict']
    assert torch.equal(read['part'], shared[:2]) and torch.equal(read['whole'], shared)


def test_a_file_of_others_keeps_its_keys_and_has_no_meta(tmp_path):
    save_file(dict(weight=STATE['norm']), tmp_path / 'a.safetensors')
    assert read_safetensors(tmp_path / 'a.safetensors')['meta'] == {}
    assert read_safetensors(tmp_path / 'a.safetensors')['state_dict'].keys() == {'weight'}


@pytest.mark.parametrize('end', [0, 5, -1])
def test_a_file_that_is_cut_off_is_not_whole(tmp_path, end):
    path = tmp_path / 'a.safetensors'
    save_file(STATE, path)
    assert is_whole_safetensors(path)
    path.write_bytes(path.read_bytes()[:end])
    assert not is_whole_safetensors(path)


def test_what_is_behind_an_url_is_not_read_as_a_file():
    assert is_safetensors('a.safetensors') and not is_safetensors('https://host/a.safetensors')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda tensors: tensors.pop('k'), r"1 tensors are missing \['k'\], 0 were added"),
        (lambda tensors: tensors.update(more=torch.ones(1)), r"0 tensors are missing \[\], 1 were added \['more'\]"),
    ],
)
def test_an_export_with_other_tensors_than_it_was_written_with_is_refused(tmp_path, change, message):
    path = tmp_path / 'a.safetensors'
    path.write_bytes(pack_safetensors(STATE, KEYS, {}))
    with safe_open(path, 'pt') as file:
        tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()
    change(tensors)
    save_file(tensors, path, metadata)
    with pytest.raises(UserError, match=message):
        load_part(torch.nn.Linear(2, 3), str(path))


def test_integers_are_no_weights(tmp_path):
    layer = torch.nn.Linear(2, 3)
    save_file({key: value.long() for key, value in layer.state_dict().items()}, tmp_path / 'a.safetensors')
    with pytest.raises(UserError, match='2 of integers'):
        load_part(layer, str(tmp_path / 'a.safetensors'))
