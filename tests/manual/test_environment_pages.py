"""Pages of environments say what the environments are."""

import re

import environment_pages
import gymnasium
import numpy as np
import pytest
from environment_pages import environment_ids, observation_table, overview, page, picture, short_name
from gymnasium.spaces import Box, Dict
from PIL import Image

from snn_plasticity_gym import ENVIRONMENTS
from snn_plasticity_gym.config.schema import ConfigError, setting_fields

HEADINGS = [
    "Description",
    "Network",
    "Observation",
    "Action",
    "Reward",
    "Episode end",
    "Settings that matter most",
    "All other settings",
    "Version history",
]


@pytest.mark.parametrize("env_id", environment_ids())
def test_a_page_has_all_that_gymnasium_has_and_each_setting_once(env_id):
    text = page(env_id)
    assert re.findall(r"^## (.*)$", text, re.M) == HEADINGS
    shown = re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", text, re.M)
    infos = setting_fields(ENVIRONMENTS[env_id])
    assert sorted(name for name, _ in shown) == sorted(info.name for info in infos)
    for name, default in shown:
        value = next(info.default for info in infos if info.name == name)
        assert default.startswith(f"{value:g}" if isinstance(value, float) else str(value) or "''")
    most = text.partition("## Settings that matter most")[2].partition("## All other")[0]
    assert re.findall(r"^\| `(\w+)`", most, re.M) == [info.name for info in infos if info.basic]


@pytest.mark.parametrize("env_id", environment_ids())
def test_the_observation_is_that_of_the_environment(env_id):
    made = page(env_id).partition("## Observation")[2].partition("## Action")[0]
    images = {"dataset": "digits"} if hasattr(ENVIRONMENTS[env_id](), "dataset") else {}
    space = gymnasium.make(env_id, **images).observation_space
    rows = re.findall(r"^\| `(\w+)` \| (\([^|]*\)) \| (\w+) \|", made, re.M)
    assert rows == [(key, str(part.shape), str(part.dtype)) for key, part in space.items()]


def test_a_key_that_the_docstring_does_not_explain_stops_the_build():
    with pytest.raises(KeyError, match="unheard_of"):
        observation_table(Dict({"unheard_of": Box(0, 1, (2,))}))


def test_the_network_of_unsup1_is_the_one_of_diehl_and_cook():
    made = page("SNNPlastic-Unsup1-v0").partition("## Network")[2].partition("## Observation")[0]
    assert "| exc | 400 | LIF, τ 100 ms, threshold -52 |" in made
    assert "| inh_to_exc | inh → exc | all to all but itself, a step later | 20 | head `single`, η 0.01" in made
    assert "| exc_to_inh | exc → inh | one to one | 22.5 | fixed |" in made


def test_the_overview_links_to_all_pages():
    assert re.findall(r"environments/(\w+)\.md", overview()) == list(map(short_name, environment_ids()))


def test_a_picture_shows_a_network_that_has_spiked(tmp_path):
    path = tmp_path / "one.png"
    path.write_bytes(picture("SNNPlastic-CartPole-v0"))
    pixels = np.asarray(Image.open(path).convert("RGB"))
    assert pixels.shape == (520, 900, 3)
    raster = pixels[310:460, 80:860]
    assert (raster.max(axis=2) < 60).mean() > 0.001  # dark squares, one for each spike


def test_a_world_that_is_not_installed_has_a_page_that_says_so(monkeypatch):
    def absent(env_id):
        raise ConfigError("world 'Ant-v5' cannot be made: mujoco is not installed")

    monkeypatch.setattr(environment_pages, "page", absent)
    text, image = environment_pages.content("SNNPlastic-CartPole-v0")
    assert image is None and "mujoco is not installed" in text and "| `hidden_sizes` | `(64,)` |" in text
    with pytest.raises(ConfigError):  # images need nothing from elsewhere
        environment_pages.content("SNNPlastic-Unsup1-v0")


def test_names_of_pages_are_those_of_the_ids():
    assert environment_pages.short_name("SNNPlastic-MountainCar-v0") == "mountaincar"
