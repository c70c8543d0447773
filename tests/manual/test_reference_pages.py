"""The API reference names every public name once."""

import re

import pytest
from reference_pages import group_of, pages

import snn_plasticity_gym
from snn_plasticity_gym.config.training import A2CConfig


def test_every_public_name_stands_once():
    named = re.findall(r"^\.\. auto\w+:: \S*\.(\w+)$", "\n".join(pages().values()), re.M)
    assert sorted(named) == sorted(name for name in snn_plasticity_gym.__all__ if not name.startswith("__"))


def test_a_folder_without_a_group_stops_the_build():
    assert group_of(A2CConfig) == "environments"
    with pytest.raises(KeyError):
        group_of(type("Strange", (), {"__module__": "snn_plasticity_gym.kernels.pairs"}))
