import random

import numpy as np
import pytest
import torch

from mmdclpp.utils.random_states import random_states_kept


def test_random_states_are_set_back_after_an_error_too():
    def draws():
        return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()

    state = torch.get_rng_state(), np.random.get_state(), random.getstate()
    expected = draws()
    torch.set_rng_state(state[0]), np.random.set_state(state[1]), random.setstate(state[2])
    with pytest.raises(ZeroDivisionError), random_states_kept():
        draws()
        raise ZeroDivisionError
    assert draws() == expected
