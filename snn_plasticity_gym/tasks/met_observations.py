"""Ranges of observations by quantiles of those encountered, in place of given ranges.

A uniform sample of all observations so far is kept; an encoder's range is given by its quantiles. It starts from
observations under random actions, and is updated when all lifetimes start an episode together, so that it is constant
within an episode.

Axes: B lifetimes, R the lifetimes of one call, A most actions of an episode, D observations, n observations, K kept.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.config.control import FEWEST_MET, ControlConfig
from snn_plasticity_gym.config.schema import ConfigError, to_dict
from snn_plasticity_gym.networks.encoder_registry import encoder_settings
from snn_plasticity_gym.networks.receptive_fields import ObservationRanges
from snn_plasticity_gym.tasks.worlds import Worlds
from snn_plasticity_gym.utils.numbers_given import numbers
from snn_plasticity_gym.utils.state import State

Settings = TypeVar("Settings", bound=EnvironmentConfig)

RANGES = "ranges.json"  # in the folder of a run


class UniformSample:
    """Reservoir sample: K of all observations so far, with equal probability (algorithm R of Vitter, 1985).

    Args:
        size: K.
        num_observations: D.
    """

    def __init__(self, size: int, num_observations: int) -> None:
        self.number = 0  # of observations so far
        self._kept = np.zeros((size, num_observations), dtype=np.float32)  # (K, D)
        self._rng = np.random.default_rng(0)

    @property
    def kept(self) -> NDArray[np.float32]:
        """The sample, at most K, (n, D)."""
        return self._kept[: self.number]

    def add(self, observations: NDArray[np.float32]) -> None:
        """Add observations one after the other, (n, D)."""
        size, first = len(self._kept), observations[: max(len(self._kept) - self.number, 0)]  # that find room
        self._kept[self.number : self.number + len(first)] = first
        later = observations[len(first) :]
        count = self.number + len(first) + 1 + np.arange(len(later))  # with each of these, (n,)
        place = self._rng.integers(0, count)  # (n,)
        stays = place < size
        self._kept[place[stays]] = later[stays]  # of two at one place the later one, as in sequence
        self.number += len(observations)

    def state_dict(self) -> State:
        """Return the complete state."""
        return {
            "number": self.number,
            "kept": torch.from_numpy(self._kept.copy()),
            "rng": self._rng.bit_generator.state,
        }

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""
        self.number = state["number"]
        self._kept[:] = state["kept"].numpy()
        self._rng.bit_generator.state = state["rng"]


class MetObservations:
    """Running ranges of the observations of B lifetimes.

    Args:
        config: Its range_quantile is above 0.
        worlds: Their worlds.
        most_actions: A.

    Raises:
        ConfigError: The encoder has no ranges, or a file of ranges is invalid.
    """

    def __init__(self, config: ControlConfig, worlds: Worlds, most_actions: int) -> None:
        if not {"low", "high"} <= set(encoder_settings(config.encoder)):
            raise ConfigError(
                f"range_quantile measures low and high of an encoder, and {config.encoder!r} has its fields where they "
                "are; set encoder to one-hot, gaussian or rate, or leave range_quantile out"
            )
        size = worlds.observation_space.shape[0]
        folder = config.ranges or (config.init_weights if (Path(config.init_weights) / RANGES).is_file() else "")
        self._quantile = config.range_quantile
        self.running = bool(config.range_sample) and not folder
        self._sample = UniformSample(config.range_sample or FEWEST_MET, size)
        # (B, A + 1, D) of the present episodes, filled in by the task or by compiled loops
        self.table = np.zeros((worlds.num_lifetimes, (most_actions + 1) * self.running, size), dtype=np.float32)
        if folder:
            self.ranges = read_ranges(folder, size)
        else:
            self._sample.add(random_observations(config, FEWEST_MET))
            self.ranges = self._measured()

    @property
    def ends(self) -> dict[str, list[float]]:
        """The ranges as settings of an encoder."""
        return {"low": self.ranges.low.tolist(), "high": self.ranges.high.tolist()}

    def begin(self, rows: Tensor, actions: Tensor, observations: Tensor) -> bool:
        """Add the observations of the last episodes to the sample at the start of new ones.

        Args:
            rows: Lifetimes, int64 (R,).
            actions: Number of actions in their last episodes, int64 (R,); 0: no episode.
            observations: First ones, (R, D).

        Returns:
            Whether ranges have changed: all lifetimes start together, with new observations.
        """
        if not self.running:
            return False
        before = self._sample.number
        for row, count in zip(rows.tolist(), actions.tolist(), strict=True):
            if count:
                self._sample.add(self.table[row, : count + 1])
        self.note(rows, torch.zeros_like(actions), observations)
        if len(rows) < len(self.table) or self._sample.number == before:
            return False
        self.ranges = self._measured()
        return True

    def note(self, rows: Tensor, actions: Tensor, observations: Tensor) -> None:
        """Store the observations (R, D) of lifetimes (R,) after the given numbers of actions (R,)."""
        if self.running:
            self.table[rows.cpu().numpy(), actions.cpu().numpy()] = observations.cpu().numpy()

    def _measured(self) -> ObservationRanges:
        kept = self._sample.kept
        low, high = np.quantile(kept.astype(np.float64), [self._quantile, 1 - self._quantile], axis=0)  # (D,) each
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise ConfigError("range_quantile: an observation is infinite; give low and high instead")
        same = low == high  # constant observations: any range will do
        return ObservationRanges(np.where(same, low - 0.5, low), np.where(same, high + 0.5, high))

    def state_dict(self) -> State:
        """Return the complete state at the start of episodes."""
        ends = {name: torch.tensor(values, dtype=torch.float64) for name, values in self.ends.items()}
        return {"sample": self._sample.state_dict(), **ends}

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""
        self._sample.load_state_dict(state["sample"])
        self.ranges = ObservationRanges(state["low"].numpy(), state["high"].numpy())

    def as_text(self) -> str:
        """Return the ranges as JSON for a run's folder."""
        return json.dumps({"quantile": self._quantile, **self.ends}) + "\n"


def random_observations(config: ControlConfig, number: int) -> NDArray[np.float32]:
    """Return observations under random actions in the settings' world, always the same ones, (n, D)."""
    worlds = Worlds(
        config.world,
        1,
        world_kwargs=json.loads(config.world_kwargs),
        attributes=json.loads(config.world_attributes),
    )
    space: Any = copy.deepcopy(worlds.action_space)
    space.seed(0)
    observations: list[NDArray[np.float32]] = []
    episode, over = 0, True
    while len(observations) < number:
        if over:
            observations.append(worlds.reset([0], [episode])[0].numpy())
            episode, over = episode + 1, False
            continue
        drawn = space.sample()
        action = np.asarray(drawn - space.start if isinstance(space, spaces.Discrete) else drawn.reshape(-1))
        moved = worlds.move(0, action)
        observations.append(moved.observation)
        over = moved.terminated or moved.truncated
    worlds.close()
    return np.stack(observations)


def read_ranges(path: str | Path, num_observations: int) -> ObservationRanges:
    """Read the ranges measured by a run.

    Args:
        path: Its folder, or the file.
        num_observations: D.

    Raises:
        ConfigError: There are none, or of another number of observations.
    """
    file = Path(path).expanduser()
    file = file / RANGES if file.is_dir() else file
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        low, high = (numbers(name, saved[name], (num_observations,)) for name in ("low", "high"))
    except FileNotFoundError:
        raise ConfigError(
            f"ranges: there is no file {str(file)!r}; give the folder of a run with range_quantile, or leave ranges out"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"ranges: {str(file)!r} holds no ranges of {num_observations} observations: {error}"
        ) from error
    return ObservationRanges(low, high)


def check_one_process(config: EnvironmentConfig, num_processes: int) -> None:
    """Check that ranges are not measured in several processes.

    Raises:
        ConfigError: They would be.
    """
    running = isinstance(config, ControlConfig) and config.range_quantile and config.range_sample and not config.ranges
    if running and num_processes > 1:
        raise ConfigError(
            f"range_quantile measures observations of one process, got {num_processes} processes; start without "
            "torchrun, or set range_sample to 0"
        )


def with_ranges_of(config: Settings, folder: str | Path) -> Settings:
    """Return the settings for evaluating rules of a run: its final ranges, fixed.

    Args:
        config: Settings of any environment; those that measure no ranges are returned as they are.
        folder: Of the run; without ranges, those under random actions are kept.
    """
    if not isinstance(config, ControlConfig) or not config.range_quantile or config.ranges:
        return config
    there = (Path(folder).expanduser() / RANGES).is_file()
    return type(config)(**(to_dict(config) | ({"ranges": str(folder)} if there else {"range_sample": 0})))
