"""What a launcher leaves to each process."""

import pytest

from mmdclpp.apis.own_images import machine
from mmdclpp.apis.own_images.machine import Machine, this_machine


@pytest.mark.parametrize(
    ('launcher', 'expected'),
    [
        ('none', Machine(processes=1, cores=6, memory=8_000, gpu=False)),
        ('pytorch', Machine(processes=4, cores=3, memory=4_000, gpu=False)),
    ],
)
def test_processes_of_a_machine_share_its_cores_and_its_memory(monkeypatch, launcher, expected):
    monkeypatch.setattr(machine, 'get_device', lambda: 'cpu')
    monkeypatch.setattr(machine, '_memory', lambda: 8_000)
    monkeypatch.setattr('os.sched_getaffinity', lambda _: set(range(6)))
    monkeypatch.setenv('WORLD_SIZE', '4')
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '2')
    assert this_machine(launcher) == expected
