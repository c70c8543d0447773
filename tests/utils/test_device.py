"""Devices by name."""

import pytest
import torch

from snn_plasticity_gym.utils.device import torch_device


def test_a_device_that_exists_is_returned():
    assert torch_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["nonsense", "cuda:99", ""])
def test_one_that_does_not_is_refused_in_one_line(name):
    with pytest.raises(ValueError, match=r"^device must be one of cpu[^\n]* here, got '[^\n]*'$"):
        torch_device(name)
