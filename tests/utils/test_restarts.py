"""When a run that was started anew goes on by itself."""

import os
import time

import pytest

from mmdclpp.utils.restarts import restarted


@pytest.mark.parametrize(
    ('environment', 'expected'),
    [
        ({}, False),
        ({'MMDCLPP_RESTARTS': '0', 'TORCHELASTIC_RESTART_COUNT': '0', 'SLURM_RESTART_COUNT': ''}, False),
        ({'MMDCLPP_RESTARTS': '1'}, True),
        ({'TORCHELASTIC_RESTART_COUNT': '2'}, True),
        ({'SLURM_RESTART_COUNT': '1'}, True),
        ({'MMDCLPP_RESTARTS': '1', 'MMDCLPP_LAUNCHED': '100'}, True),
        ({'MMDCLPP_RESTARTS': '1', 'MMDCLPP_LAUNCHED': str(time.time() + 1000)}, False),  # another job's checkpoint
    ],
)
def test_a_job_started_anew_goes_on_from_its_own_checkpoint(tmp_path, monkeypatch, environment, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert not restarted(tmp_path), os.listdir(tmp_path)
    (tmp_path / 'last_checkpoint').write_text('epoch_1.pth')
    assert restarted(tmp_path) == expected
