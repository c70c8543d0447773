"""What rules answer, as the engine wants it."""

import numpy as np
import pytest
import torch

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.rules.base import checked_answer

VALUES = [0.5, -1.0, 2.0]


@pytest.mark.parametrize(
    "answer",
    [
        torch.tensor(VALUES),
        torch.tensor(VALUES, dtype=torch.float64),
        torch.tensor(VALUES, requires_grad=True) * 1.0,
        np.array(VALUES),
        np.array(VALUES, dtype=">f4"),
        np.array([*VALUES, *VALUES])[:3],
        np.array([VALUES, VALUES]).T[:, 0],
    ],
)
def test_real_numbers_of_any_kind_become_float32(answer):
    got = checked_answer(answer, 3, "cpu")
    assert got.dtype == torch.float32 and not got.requires_grad and got.tolist() == VALUES


def test_an_answer_that_is_right_is_not_copied_and_numpys_memory_is_not_shared():
    right, array = torch.tensor(VALUES), np.array(VALUES, dtype=np.float32)
    assert checked_answer(right, 3, "cpu").data_ptr() == right.data_ptr()
    got = checked_answer(array, 3, "cpu")
    array[:] = 9.0
    assert got.tolist() == VALUES
    assert checked_answer(np.zeros(0), 0, "cpu").shape == (0,)
    assert checked_answer(np.array([True, False]), 2, "cpu").tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (None, "got NoneType"),
        (0.5, "got float"),
        (VALUES, "got list"),
        (np.zeros((3, 1)), "got shape (3, 1)"),
        (torch.zeros(2), "got shape (2,)"),
        (torch.tensor(1.0), "got shape ()"),
        (np.array(["a", "b", "c"]), "got an array of <U1"),
        (np.zeros(3, dtype=complex), "got an array of complex128"),
        (torch.zeros(3, dtype=torch.complex64), "got a tensor of complex64"),
    ],
)
def test_anything_else_is_refused_in_one_line(answer, got):
    with pytest.raises(ConfigError) as error:
        checked_answer(answer, 3, "cpu")
    wanted = "a rule must return one number per event, a tensor or an array of shape (3,), "
    assert str(error.value) == wanted + got
