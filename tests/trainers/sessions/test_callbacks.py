"""What is shown while a training runs."""

import io
import re
import sys

import pytest
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.trainers.sessions.callbacks import ProgressBar
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env

SMALL = {"dataset": "digits", "n_exc": 4, "num_steps": 8, "history_length": 8, "max_rate": 0.1, "gain_input_exc": 20.0}


class Terminal(io.StringIO):
    """Keeps what is written."""

    def isatty(self) -> bool:
        return True


class Noted(BaseCallback):
    """Keeps what rollouts have earned."""

    def __init__(self) -> None:
        super().__init__()
        self.rewards: list[float] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.rewards.append(float(self.logger.name_to_value["rollout/reward"]))


@pytest.mark.parametrize("episodes_per_update", [1, 3])
def test_the_bar_counts_episodes_and_says_what_they_earn(episodes_per_update, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "200")  # a narrow bar leaves the end of long numbers out
    env = make_sb3_env("SNNPlastic-Unsup1-v0", 2, **SMALL)
    model = EventA2C("PlasticityPolicy", env, n_steps=episodes_per_update, seed=0)
    model.set_logger(Logger(None, []))
    bar = ProgressBar(12, num_lifetimes=2)
    noted = Noted()
    model.learn(12 * 8, callback=[bar, noted], episodes=12)
    bar.close()
    shown = sys.stderr.getvalue().split("\r")
    counts = [int(found[1]) for line in shown if (found := re.search(r"(\d+) of 12 episodes", line))]
    assert counts == sorted(counts) and counts[-1] == 12
    assert len(noted.rewards) == 6 // episodes_per_update
    assert f"reward {noted.rewards[0]:.3g}, now {noted.rewards[-1]:.3g}" in shown[-1]


def test_a_run_that_goes_on_begins_where_it_was(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "200")
    model = EventA2C("PlasticityPolicy", make_sb3_env("SNNPlastic-Unsup1-v0", 2, **SMALL))
    model.learn(4 * 8, episodes=4)
    bar = ProgressBar(8, num_lifetimes=2)
    model.learn(4 * 8, callback=bar, episodes=8, reset_num_timesteps=False)
    bar.close()
    counts = [int(found) for found in re.findall(r"(\d+) of 8 episodes", sys.stderr.getvalue())]
    assert counts[0] == 0 and min(counts[1:]) >= 4 and counts[-1] == 8
