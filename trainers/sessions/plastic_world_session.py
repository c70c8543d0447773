"""Session of `train_plastic.py` in a Gymnasium environment."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from snn_plasticity_gym.config.plastic import PlasticConfig
from snn_plasticity_gym.config.plastic_worlds import attributes
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.learners.plastic_actor import PlasticActor
from snn_plasticity_gym.report.plastic_world_section import AS_IN_TRAINING
from snn_plasticity_gym.runs.folder import RunFolder
from snn_plasticity_gym.tasks.changed_body import CHANGED_BODY
from snn_plasticity_gym.tasks.worlds import Worlds
from snn_plasticity_gym.trainers.sessions.bptt_learner import generator_of
from snn_plasticity_gym.trainers.sessions.learning_loop import FinalResult, Row, carry_out
from snn_plasticity_gym.trainers.sessions.plastic_rollouts import Episodes, RolloutCollector
from snn_plasticity_gym.trainers.sessions.plastic_world_learner import WorldLearner
from snn_plasticity_gym.utils.device import torch_device
from snn_plasticity_gym.utils.files import atomic_path


class TestCondition(NamedTuple):
    """One condition in which the best parameters are tested."""

    world: str
    world_kwargs: Mapping[str, Any] = {}
    attributes: Mapping[str, float] = {}
    action_noise: float = 0.0

    def make(self, count: int, device: torch.device) -> Worlds:
        """Make as many environments."""
        return Worlds(self.world, count, world_kwargs=self.world_kwargs, attributes=self.attributes, device=device)


def test_conditions(config: PlasticConfig) -> dict[str, TestCondition]:
    """Return all test conditions by name, that of training first."""
    usual = TestCondition(config.world, json.loads(config.world_kwargs))
    every = {AS_IN_TRAINING: usual}
    every |= {f"action noise {level:.0%}": usual._replace(action_noise=level) for level in config.test_action_noise}
    body: Callable[..., dict[str, Any]] = functools.partial(dict, world=usual.world, world_kwargs=usual.world_kwargs)
    bodies = {f"friction x {factor:g}": body(friction=factor) for factor in config.test_friction}
    bodies |= {f"mass x {factor:g}": body(mass=factor) for factor in config.test_mass}
    strength = config.joint_strength
    for joint in config.test_joints:
        bodies[f"motor {joint} with {strength:.0%} of its force"] = body(joint=joint, strength=strength)
    every |= {name: TestCondition(CHANGED_BODY, kwargs) for name, kwargs in bodies.items()}
    for name, value in attributes(config.test_attributes):
        every[f"{name} = {value:g}"] = usual._replace(attributes={name: value})
    return every


def run_plastic_world(config: PlasticConfig) -> Path:
    """Train in an environment, test the best parameters once on held-out episodes, and write a run folder.

    See `carry_out`; weights.pt is the state of `PlasticNetwork`.
    """
    return carry_out("Plastic", config, functools.partial(WorldTraining, config), unit="steps", every=config.eval_steps)


def make_world_learner(config: PlasticConfig, seed: int) -> WorldLearner:
    """Make network, environments and learner from the run's seed.

    Raises:
        ConfigError: There is no such environment, or its spaces are not supported.
        ValueError: The device does not exist.
    """
    device = torch_device(config.device)
    worlds = Worlds(config.world, config.num_worlds, world_kwargs=json.loads(config.world_kwargs), device=device)
    first = torch.Generator().manual_seed(int(generator_of(seed, 0).integers(2**62)))
    actor = PlasticActor(config, worlds.observation_space, worlds.action_space, first).to(device)
    noise = torch.Generator(device).manual_seed(int(generator_of(seed, 2).integers(2**62)))
    acting = RolloutCollector(config, actor, worlds, generator_of(seed, 1), generator_of(seed, 3), noise)
    return WorldLearner(config, actor, acting, generator_of(seed, 4))


class WorldTraining:
    """See `Training`.

    Args:
        config: Settings of the run.
        seed: Of everything.

    Raises:
        ConfigError: As `make_world_learner`, or a disturbance does not apply to the environment.
    """

    dataset: dict[str, Any] | None = None

    def __init__(self, config: PlasticConfig, seed: int) -> None:
        self._config, self._device = config, torch_device(config.device)
        self._conditions = test_conditions(config)
        for name, condition in self._conditions.items():  # checked before training
            try:
                condition.make(1, self._device).close()
            except ConfigError as error:
                raise ConfigError(f"{error}" if name == AS_IN_TRAINING else f"test of {name}: {error}") from error
        self.learner = make_world_learner(config, seed)
        self._held_out = self._conditions[AS_IN_TRAINING].make(config.eval_lives, self._device)
        network = self.learner.network
        sizes = "-".join(map(str, (*network.weights[0].shape, network.weights[1].shape[1])))
        of = f"{config.network} by {config.learner}, {sizes}, {network.num_parameters} parameters"
        self.title = f"{of}: {self.learner.total} actions in {config.world}"

    def row(self) -> Row:
        """See `Training`."""
        learner, config = self.learner, self._config
        means, episodes = learner.take_means(), learner.judge("validation", config.eval_lives, self._held_out)
        mean_return = float(episodes.returns.mean())
        learner.note(mean_return)
        values = {f"train/{name}": mean for name, mean in means.items()}
        values |= {f"eval/{name}": value for name, value in _summary(episodes).items()}
        values |= {"train/not_finite": learner.not_finite, "train/episodes": learner.acting.ended_episodes}
        if learner.actor.log_deviation is not None:
            values["train/deviation"] = float(learner.actor.log_deviation.detach().exp().mean())
        return Row(
            values,
            f"reward {means['reward']:.3f}  validation {mean_return:.1f} in {episodes.lengths.mean():.0f} actions",
        )

    def judge(self, run: RunFolder) -> FinalResult:
        """Test the best parameters as in training, and under each disturbance from the same initial states."""
        config, learner, network = self._config, self.learner, self.learner.network
        validation, at = learner.take_best()
        with atomic_path(run.path / "weights.pt") as temporary:
            torch.save({name: value.cpu() for name, value in network.state_dict().items()}, temporary)
        lines, tests = [f"the best parameters, of {at} actions, in {config.test_lives} test episodes:"], {}
        for name, condition in self._conditions.items():
            worlds = condition.make(config.test_lives, self._device)
            tests[name] = _summary(learner.judge("test", config.test_lives, worlds, condition.action_noise))
            worlds.close()
            lines.append(f"  {name}: return {tests[name]['return']:.1f} +- {tests[name]['return_spread']:.1f}")
        lines.append(f"{learner.not_finite} steps left out as not finite")
        test = tests.pop(AS_IN_TRAINING)
        result = {
            "network": config.network,
            "world": config.world,
            "hidden_size": network.weights[0].shape[1],
            "parameters": network.num_parameters,
            "not_finite_steps": learner.not_finite,
            "test": test,
            "disturbed": tests,
            "validation_return": validation,
            "best_at": at,
        }
        return FinalResult(result, {f"test/{name}": value for name, value in test.items()}, "\n".join(lines))


def _summary(episodes: Episodes) -> dict[str, float]:
    """Return mean returns, lengths and rates of episodes, by name; the spread is their standard deviation."""
    return {
        "return": float(episodes.returns.mean()),
        "return_spread": float(np.std(episodes.returns)),
        "length": float(episodes.lengths.mean()),
        "hidden_rate": episodes.hidden_rate,
        "output_rate": episodes.output_rate,
    }
