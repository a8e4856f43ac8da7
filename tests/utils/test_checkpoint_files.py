"""Checkpoints are read without running what is in them, unless they are trusted."""

import argparse
import io
import os
import warnings
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner.checkpoint import CheckpointLoader
from safetensors.torch import save_file

from mmdclpp.errors import UserError
from mmdclpp.utils.checkpoint_files import read_checkpoint_file, trusted, trusting

from ..fuzzing import BUDGETS, damaged


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def as_bytes(content, **options):
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def content():
    return dict(meta=dict(epoch=1, cfg='a = 1'), state_dict=OrderedDict(weight=torch.arange(6.0).view(2, 3)))


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'bare pickle'])
@pytest.mark.parametrize('read', [read_checkpoint_file, CheckpointLoader.load_checkpoint], ids=['ours', 'mmengines'])
def test_code_in_a_checkpoint_is_named_and_runs_only_if_it_is_trusted(tmp_path, read, zipped):
    file, folder = tmp_path / 'a.pth', tmp_path / 'made'
    file.write_bytes(as_bytes(dict(content(), extra=Payload(folder)), _use_new_zipfile_serialization=zipped))
    with pytest.raises(UserError, match=r'a.pth holds more than weights.*asks for posix.mkdir.*add --trust') as caught:
        read(str(file))
    assert '\n' not in str(caught.value) and not folder.exists()
    with trusting():
        assert trusted() and 'state_dict' in read(str(file))
    assert folder.exists() and not trusted()


@pytest.mark.parametrize(
    'function', [getattr, eval, __import__, torch.load, np.load, torch.hub.load], ids=lambda f: f.__name__
)
def test_nothing_but_the_listed_can_be_called(tmp_path, function):
    class Call:
        def __reduce__(self):
            return function, (str(tmp_path), 'x')

    (tmp_path / 'a.pth').write_bytes(as_bytes([Call()]))
    with pytest.raises(UserError, match='a.pth (holds more than weights|is cut off or no checkpoint)'):
        read_checkpoint_file(tmp_path / 'a.pth')


def test_what_is_downloaded_is_held_to_the_same(tmp_path, monkeypatch):
    folder, cache = tmp_path / 'made', tmp_path / 'hub' / 'checkpoints'
    cache.mkdir(parents=True)
    (cache / 'model.pth').write_bytes(as_bytes([Payload(folder)]))
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')  # as some have it in their shell for other programs
    with pytest.raises(UserError, match='https://example.org/model.pth holds more than weights.*posix.mkdir'):
        CheckpointLoader.load_checkpoint('https://example.org/model.pth')
    assert not folder.exists() and os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] == '1'


def test_all_that_mmengine_and_others_save_is_read(tmp_path):
    hub = MessageHub.get_instance('test_all_that_mmengine_and_others_save_is_read')
    hub.update_scalar('train/loss', np.float64(0.5))
    hub.update_info('broken_files', {'a.jpg': 'cut off'})
    whole = dict(
        content(),
        message_hub=hub.state_dict(),
        optimizer=dict(state={0: dict(step=torch.tensor(1.0))}, loss_scaler=dict(scale=65536.0, _growth_tracker=3)),
        args=argparse.Namespace(lr=0.1),
        numbers=[np.float32(1.5), np.int64(3), np.arange(3, dtype=np.uint8), np.bool_(True), np.dtype('f8')],
    )
    torch.save(whole, tmp_path / 'a.pth')
    read = read_checkpoint_file(tmp_path / 'a.pth')
    history = read['message_hub']['log_scalars']['train/loss']
    assert isinstance(history, HistoryBuffer) and history.current() == 0.5
    assert read['args'] == whole['args'] and read['optimizer'] == whole['optimizer']
    assert [np.asarray(value).tolist() for value in read['numbers'][:4]] == [1.5, 3, [0, 1, 2], True]


def test_a_safetensors_file_serves_wherever_mmengine_takes_a_checkpoint(tmp_path):
    save_file(dict(weight=torch.ones(2)), tmp_path / 'a.safetensors')
    assert CheckpointLoader.load_checkpoint(str(tmp_path / 'a.safetensors'))['state_dict']['weight'].tolist() == [1, 1]


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(tmp_path):
    with (
        zipfile.ZipFile(io.BytesIO(as_bytes(dict(weight=torch.zeros(100_000))))) as source,
        zipfile.ZipFile(tmp_path / 'a.pth', 'w', zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(UserError, match='a.pth unpacks its .* bytes to 400,.*, which torch.save does not write'):
        read_checkpoint_file(tmp_path / 'a.pth')


def test_the_config_that_mmengine_would_run_on_resuming_is_left_out(tmp_path):
    torch.save(dict(meta=dict(config='import os', epoch=1)), tmp_path / 'a.pth')
    assert read_checkpoint_file(tmp_path / 'a.pth') == dict(meta=dict(epoch=1))


WHOLE = {
    'zip': as_bytes(content()),
    'bare pickle': as_bytes(content(), _use_new_zipfile_serialization=False),
}


@pytest.mark.parametrize('budget', BUDGETS)
@pytest.mark.parametrize('kind', WHOLE)
def test_a_damaged_file_is_refused_or_harmless(tmp_path, kind, budget):
    file = tmp_path / 'a.pth'

    @budget
    @given(st.data())
    def check(data):
        file.write_bytes(damaged(data.draw, WHOLE[kind]))
        try:
            with warnings.catch_warnings(action='ignore'):
                read_checkpoint_file(file)
        except UserError as error:
            assert '\n' not in str(error) and str(file) in str(error)

    check()
