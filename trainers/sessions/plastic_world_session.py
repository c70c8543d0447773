"""A training by `train_plastic.py` in a world of Gymnasium."""

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
from snn_plasticity_gym.trainers.sessions.learning_loop import Judged, Row, carry_out
from snn_plasticity_gym.trainers.sessions.plastic_rollouts import Acting, Lives
from snn_plasticity_gym.trainers.sessions.plastic_world_learner import WorldLearner
from snn_plasticity_gym.utils.device import torch_device
from snn_plasticity_gym.utils.files import atomic_path


class Trouble(NamedTuple):
    """In which circumstances the kept parameters are judged, too."""

    world: str
    world_kwargs: Mapping[str, Any] = {}
    attributes: Mapping[str, float] = {}
    action_noise: float = 0.0

    def make(self, count: int, device: torch.device) -> Worlds:
        """Make as many worlds."""
        return Worlds(self.world, count, world_kwargs=self.world_kwargs, attributes=self.attributes, device=device)


def troubles(config: PlasticConfig) -> dict[str, Trouble]:
    """Return all circumstances by name, that of training first."""
    usual = Trouble(config.world, json.loads(config.world_kwargs))
    every = {AS_IN_TRAINING: usual}
    every |= {f"action noise {level:.0%}": usual._replace(action_noise=level) for level in config.test_action_noise}
    body: Callable[..., dict[str, Any]] = functools.partial(dict, world=usual.world, world_kwargs=usual.world_kwargs)
    bodies = {f"friction x {factor:g}": body(friction=factor) for factor in config.test_friction}
    bodies |= {f"mass x {factor:g}": body(mass=factor) for factor in config.test_mass}
    strength = config.joint_strength
    for joint in config.test_joints:
        bodies[f"motor {joint} with {strength:.0%} of its force"] = body(joint=joint, strength=strength)
    every |= {name: Trouble(CHANGED_BODY, kwargs) for name, kwargs in bodies.items()}
    for name, value in attributes(config.test_attributes):
        every[f"{name} = {value:g}"] = usual._replace(attributes={name: value})
    return every


def run_plastic_world(config: PlasticConfig) -> Path:
    """Train in a world, judge the best parameters once on episodes held out for it, and write a run folder.

    See `carry_out`; weights.pt is the state of `PlasticNetwork`.
    """
    return carry_out("Plastic", config, functools.partial(WorldTraining, config), unit="steps", every=config.eval_steps)


def make_world_learner(config: PlasticConfig, seed: int) -> WorldLearner:
    """Make network, worlds and learner, as a run with this seed begins.

    Raises:
        ConfigError: There is no such world, or its spaces are none that the network can act in.
        ValueError: The device does not exist.
    """
    device = torch_device(config.device)
    worlds = Worlds(config.world, config.num_worlds, world_kwargs=json.loads(config.world_kwargs), device=device)
    first = torch.Generator().manual_seed(int(generator_of(seed, 0).integers(2**62)))
    actor = PlasticActor(config, worlds.observation_space, worlds.action_space, first).to(device)
    noise = torch.Generator(device).manual_seed(int(generator_of(seed, 2).integers(2**62)))
    acting = Acting(config, actor, worlds, generator_of(seed, 1), generator_of(seed, 3), noise)
    return WorldLearner(config, actor, acting, generator_of(seed, 4))


class WorldTraining:
    """See `Training`.

    Args:
        config: What is wanted.
        seed: Of everything.

    Raises:
        ConfigError: As `make_world_learner`, or a disturbance is none of this world.
    """

    dataset: dict[str, Any] | None = None

    def __init__(self, config: PlasticConfig, seed: int) -> None:
        self._config, self._device = config, torch_device(config.device)
        self._troubles = troubles(config)
        for name, trouble in self._troubles.items():  # before hours of work
            try:
                trouble.make(1, self._device).close()
            except ConfigError as error:
                raise ConfigError(f"{error}" if name == AS_IN_TRAINING else f"test of {name}: {error}") from error
        self.learner = make_world_learner(config, seed)
        self._held_out = self._troubles[AS_IN_TRAINING].make(config.eval_lives, self._device)
        network = self.learner.network
        sizes = "-".join(map(str, (*network.weights[0].shape, network.weights[1].shape[1])))
        of = f"{config.network} by {config.learner}, {sizes}, {network.num_parameters} parameters"
        self.title = f"{of}: {self.learner.total} actions in {config.world}"

    def row(self) -> Row:
        """See `Training`."""
        learner, config = self.learner, self._config
        means, lives = learner.take_means(), learner.judge("validation", config.eval_lives, self._held_out)
        worth = float(lives.returns.mean())
        learner.note(worth)
        values = {f"train/{name}": mean for name, mean in means.items()}
        values |= {f"eval/{name}": value for name, value in _summary(lives).items()}
        values |= {"train/not_finite": learner.not_finite, "train/episodes": learner.acting.lived}
        if learner.actor.log_deviation is not None:
            values["train/deviation"] = float(learner.actor.log_deviation.detach().exp().mean())
        return Row(
            values, f"reward {means['reward']:.3f}  validation {worth:.1f} in {lives.lengths.mean():.0f} actions"
        )

    def judge(self, run: RunFolder) -> Judged:
        """Judge the best parameters by test episodes as in training, and in each disturbance by the same starts."""
        config, learner, network = self._config, self.learner, self.learner.network
        validation, at = learner.take_best()
        with atomic_path(run.path / "weights.pt") as temporary:
            torch.save({name: value.cpu() for name, value in network.state_dict().items()}, temporary)
        told, tests = [f"the best parameters, of {at} actions, in {config.test_lives} test episodes:"], {}
        for name, trouble in self._troubles.items():
            worlds = trouble.make(config.test_lives, self._device)
            tests[name] = _summary(learner.judge("test", config.test_lives, worlds, trouble.action_noise))
            worlds.close()
            told.append(f"  {name}: return {tests[name]['return']:.1f} +- {tests[name]['return_spread']:.1f}")
        told.append(f"{learner.not_finite} steps left out as not finite")
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
        return Judged(result, {f"test/{name}": value for name, value in test.items()}, "\n".join(told))


def _summary(lives: Lives) -> dict[str, float]:
    """Return what episodes were worth, by name; the spread is a standard deviation over episodes."""
    return {
        "return": float(lives.returns.mean()),
        "return_spread": float(np.std(lives.returns)),
        "length": float(lives.lengths.mean()),
        "hidden_rate": lives.hidden_rate,
        "output_rate": lives.output_rate,
    }
