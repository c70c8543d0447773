"""A network in which nothing fires says so, once; one that is small fires."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from snn_plasticity_gym.envs.silence import EPISODES
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.rules import make_rule

UNSUP, SEMI, CARTPOLE = "SNNPlastic-Unsup1-v0", "SNNPlastic-Semi-v0", "SNNPlastic-CartPole-v0"
SMALL: dict[str, Any] = {"dataset": "digits", "n_exc": 6, "num_steps": 12, "history_length": 12}
DEAD: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "E": (UNSUP, SMALL | {"gain_input_exc": 1e-3}, "exc and inh", "raise gain_input_exc (0.001), w_exc_init_max"),
    "I": (UNSUP, SMALL | {"gain_input_exc": 20.0, "gain_exc_inh": 1.0}, "inh", "raise gain_exc_inh (1)"),
    "input": (UNSUP, SMALL | {"max_rate": 0.0}, "input and exc and inh", "raise max_rate or num_steps"),
    "layers": (
        SEMI,
        {"dataset": "digits", "num_steps": 6, "history_length": 4, "hidden_sizes": (8,), "w_init": 1e-3},
        "hidden_1 and output",
        "raise w_init",
    ),
    "motor": (
        CARTPOLE,
        {"hidden_sizes": (), "w_init_min": -0.1, "w_init_max": 0.0, "w_max": 0.5, "steps_per_action": 2}
        | {"history_length": 4, "max_actions": 5},
        "motor",
        "raise w_init_max, steps_per_action",
    ),
}


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "has fired in the first" in record.getMessage()]


def by_events(events: Any) -> Any:
    """No change, by a rule that has to answer every event: time steps are taken one by one."""
    return 0.0 * events.weight


@pytest.mark.parametrize("stepped", [False, True], ids=["whole", "stepped"])
@pytest.mark.parametrize("name", DEAD)
def test_what_is_silent_is_named_once_and_how_to_mend_it(
    name: str, stepped: bool, caplog: pytest.LogCaptureFixture
) -> None:
    env_id, settings, silent, remedy = DEAD[name]
    caplog.set_level(logging.WARNING, "snn_plasticity_gym")
    env = PlasticityVectorEnv(env_id, num_envs=4, **settings)
    env.reset(seed=0)
    for round_ in range(6):
        assert len(lines(caplog)) == (round_ * 4 >= EPISODES)
        env.run_episode(by_events if stepped else make_rule("zero"))
    (line,) = lines(caplog)
    assert line.startswith(f"no neuron of {silent} has fired in the first 12 episodes")
    assert remedy in line and "\n" not in line


def test_gymnasiums_own_steps_are_watched_too(caplog: pytest.LogCaptureFixture) -> None:
    env = PlasticityVectorEnv(UNSUP, num_envs=5, **DEAD["E"][1])
    env.reset(seed=0)
    for _ in range(2 * 13 + 13):
        env.step(env.action_space.sample() * 0)
    assert len(lines(caplog)) == 1


@pytest.mark.parametrize("settings", [{"gain_input_exc": 20.0}, {"gain_input_exc": 20.0, "gain_exc_inh": 0.0}])
def test_a_network_that_fires_is_left_alone_and_so_is_what_was_switched_off(
    settings: dict[str, float], caplog: pytest.LogCaptureFixture
) -> None:
    env = PlasticityVectorEnv(UNSUP, num_envs=4, **SMALL, **settings)
    env.reset(seed=0)
    for _ in range(4):
        spikes = env.run_episode(make_rule("zero")).spikes
    assert spikes["exc"].sum() > 0 and (spikes["inh"].sum() > 0) == ("gain_exc_inh" not in settings)
    assert not lines(caplog)


@pytest.mark.parametrize("image_size", [28, 14, 7, 4])
@pytest.mark.parametrize("n_exc", [16, 100])
def test_a_smaller_network_fires(n_exc: int, image_size: int, caplog: pytest.LogCaptureFixture) -> None:
    """Sparsely: 5 to 100 spikes of E an image, of a bright set."""
    env = PlasticityVectorEnv(UNSUP, num_envs=8, dataset="digits", n_exc=n_exc, image_size=image_size)
    env.reset(seed=0)
    for _ in range(3):
        spikes = env.run_episode(make_rule("zero")).spikes["exc"]
        assert 5 < spikes.float().mean() < 100
    assert not lines(caplog)


def test_the_network_of_the_issue_is_alive() -> None:
    """n_exc=16, image_size=14, num_steps=20 had no spike of E, and a reward of 0.4898 for ever."""
    env = PlasticityVectorEnv(
        UNSUP, num_envs=8, dataset="digits", n_exc=16, image_size=14, num_steps=20, history_length=20
    )
    env.reset(seed=0)
    results = [env.run_episode(make_rule("zero")) for _ in range(3)]
    assert sum(int(result.spikes["exc"].sum()) for result in results) > 20
    assert len({round(float(reward), 6) for result in results for reward in result.reward}) > 3


@pytest.mark.parametrize("env_id", [SEMI, "SNNPlastic-Grad-v0"])
@pytest.mark.parametrize("image_size", [14, 7, 4])
def test_so_does_a_classifier_whose_weights_follow_its_inputs(env_id: str, image_size: int) -> None:
    env = PlasticityVectorEnv(env_id, num_envs=4, dataset="digits", image_size=image_size)
    env.reset(seed=0)
    spikes = env.run_episode(make_rule("zero")).spikes
    assert all(int(counts.sum()) > 10 for counts in spikes.values())
