"""All user-defined parts, from outside the package: a network, data, a reward, a third factor, a world, an encoder, a
local scalar, a rule and a policy network. Programs import it with `--plugin`:

    python trainers/train_a2c.py --plugin examples/bring_your_own.py --env Bars-v0 --episodes 96
    python trainers/train_a2c.py --plugin examples/bring_your_own.py --env Tracker-v0 --episodes 96
    python trainers/evaluate.py --plugin examples/bring_your_own.py --env Bars-v0 --rules zero,fair-share,RUN
    python trainers/report.py RUN

docs/bring_your_own.md explains it piece by piece.
"""

from __future__ import annotations

import gymnasium
import numpy as np
import torch

import snn_plasticity_gym as spg

BARS = 8  # pixels of a side, and bars across or down


# Data: pictures of bars, each of which is a class.


def bars(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures uint8 (n, 8, 8) of one bright bar under noise, and which bar it is, (n,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2 * BARS, size=number)
    images = rng.integers(40, size=(number, BARS, BARS), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        view = image if label < BARS else image.T
        view[label % BARS] = 255
    return images, labels


# A local scalar: a variable of the postsynaptic neuron.


def excitability(neurons: spg.NeuronView) -> torch.Tensor:
    """Return each neuron's potential, scaled to 0 at rest and 1 at the threshold: (R, N)."""
    lif = neurons.population.lif
    return ((neurons.potential - lif.v_rest) / (lif.v_th - lif.v_rest)).clamp(0.0, 1.0)


# A rule: a configuration class that is called with events.


@spg.config_class
class FairShare:
    """Weight change proportional to the third factor: positive for neurons that should win more often."""

    rate: float = spg.setting(0.5, "Weight change per unit of the third factor, in units of eta.", section="Rule", gt=0)

    def __call__(self, events: spg.SynapseEvents) -> torch.Tensor:
        """Return the normalised weight change of each event, (E,)."""
        return self.rate * events.scalar("factor")


# A policy network: any module from h (E, F) and scalars (E, S) to one number per event.


class SmallHead(torch.nn.Module):
    """One hidden layer of tanh."""

    def __init__(self, num_features: int, num_scalars: int) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(num_features + num_scalars, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)
        )

    def forward(self, features: torch.Tensor, scalars: torch.Tensor) -> torch.Tensor:
        """Return the mean of each event before tanh, (E,)."""
        return self.layers(torch.cat([features, scalars], dim=1)).squeeze(1)


# A task with its network, reward and third factor.


@spg.config_class
class BarsConfig(spg.ImageConfig):
    """Neurons that share the bars among them: every neuron should win as often as the others."""

    dataset: str = "bars"
    num_steps: int = 20
    history_length: int = 20
    max_rate: float = 0.4
    image_pool: int = 0
    local_state: tuple[str, ...] = ("excitability",)
    neurons: int = spg.setting(16, "Neurons that compete.", section="Network", ge=2)
    eta: float = spg.setting(0.02, "Weight change at delta_d = 1.", section="Plasticity", gt=0)


class BarsTask(spg.ImageTask):
    """Excitatory neurons with plastic input and plastic synapses among them, and an inhibitory partner each."""

    input_name, readout = "retina", "cells"

    def __init__(self, config: BarsConfig, num_lifetimes: int, device: torch.device) -> None:
        super().__init__(config, num_lifetimes, device)
        n = config.neurons
        cell = spg.LIFParams(tau_mem=20.0, v_rest=0.0, v_reset=0.0, v_th=1.0, resistance=20.0)
        self.groups = ["input", "lateral"]  # a policy head each
        self.populations = [
            spg.Population("retina", self.n_input),  # shows the image
            spg.Population("cells", n, cell),
            spg.Population("partners", n, cell),
        ]
        self.projections = [
            spg.Projection(
                "retina_to_cells", "retina", "cells", gain=0.1, plasticity=spg.Plasticity(0, config.eta, 0.0, 1.0)
            ),
            spg.Projection(  # recurrent: carries the spikes of the step before
                "cells_to_cells", "cells", "cells", gain=0.05, recurrent=True, autapses=False,
                initial=(-0.1, 0.1), plasticity=spg.Plasticity(1, config.eta, -1.0, 1.0),
            ),
            spg.Projection("cells_to_partners", "cells", "partners", gain=1.5, one_to_one=True),
            spg.Projection(  # fixed, of any form
                "partners_to_cells", "partners", "cells", recurrent=True, gain=0.4,
                initial=lambda rng, shape: np.eye(*shape) - 1.0,
            ),
        ]  # fmt: skip
        self.scalars = ("factor",)
        self._wins = torch.full((num_lifetimes, n), 1.0 / n, device=device)  # (B, N) share of each neuron's wins

    def start_lifetimes(self, rows: list[int], seeds: list[spg.Seed]) -> None:
        """Start new lifetimes: reset the wins."""
        super().start_lifetimes(rows, seeds)
        self._wins[rows] = 1.0 / self._wins.shape[1]

    def factors(self) -> dict[str, torch.Tensor]:
        """Return each cell's lack of wins relative to an equal share, (B, N)."""
        return {"cells": 1.0 - self._wins * self._wins.shape[1]}

    def judge(self, episode: spg.Episode) -> spg.Verdict:
        """Reward an image by the evenness of its lifetime's wins, and 0 without any spike."""
        counts = episode.raster["cells"].sum(dim=1)  # (R, N)
        answered = counts.amax(dim=1) > 0
        winners = torch.where(answered, counts.argmax(dim=1), -1)
        for row, winner in zip(episode.rows.tolist(), winners.tolist(), strict=True):
            if winner >= 0:
                self._wins[row] *= 0.98
                self._wins[row, winner] += 0.02
        share = self._wins[episode.rows]  # (R, N)
        evenness = -(share * share.clamp(min=1e-9).log()).sum(dim=1) / np.log(share.shape[1])
        terms = {"evenness": evenness, "answered": answered.float()}
        return spg.Verdict(spg.RewardResult(evenness * answered, terms), winners)

    def state_dict(self) -> dict:
        """Return the state for resuming a run."""
        return {**super().state_dict(), "wins": self._wins}

    def load_state_dict(self, state: dict) -> None:
        """Restore a state of `state_dict`."""
        super().load_state_dict(state)
        self._wins.copy_(state["wins"])


# A world and an encoder.


class Tracker(gymnasium.Env):
    """Follow a dot that wanders on a line: left, stay or right; the reward is 1 minus the distance."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)  # own place, place of the dot
        self.action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        """Start at random positions."""
        super().reset(seed=seed)
        self._places = self.np_random.uniform(-1.0, 1.0, size=2)
        return self._places.astype(np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Move by a tenth, and the dot randomly."""
        self._places += [0.1 * (action - 1), self.np_random.normal(0.0, 0.05)]
        self._places = self._places.clip(-1.0, 1.0)
        reward = 1.0 - abs(self._places[0] - self._places[1])
        return self._places.astype(np.float32), float(reward), False, False, {}


class DifferenceEncoder:
    """Neurons tuned to the difference of two observations."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.size = size
        self._centres = torch.linspace(-1.0, 1.0, size, device=device)  # (N,)

    def activation(self, observation: torch.Tensor) -> torch.Tensor:
        """Return each neuron's activation, (R, N)."""
        difference = (observation[:, 1] - observation[:, 0]).unsqueeze(1)  # (R, 1)
        return torch.exp(-(((difference - self._centres) * self.size / 4) ** 2))

    def spikes(self, observation: torch.Tensor, step: int | torch.Tensor, uniform) -> torch.Tensor:
        """Return the spikes of one time step, bool (R, N); `uniform` draws row by row."""
        return uniform(self.size) < 0.3 * self.activation(observation)


def difference_encoder(space: gymnasium.spaces.Box, device: torch.device, *, size: int = 12) -> DifferenceEncoder:
    """Build the encoder; keyword-only arguments are its settings."""
    return DifferenceEncoder(size, device)


@spg.config_class
class TrackerConfig(spg.ControlConfig):
    """A network follows a dot."""

    world: str = "Tracker-v0-world"
    max_actions: int = 20
    encoder: str = "difference"
    encoder_kwargs: str = '{"size": 12}'
    decoder_kwargs: str = '{"group_size": 4}'
    steps_per_action: int = 10
    hidden_sizes: tuple[int, ...] = ()
    third_factor: str = "targeted"


if "Tracker-v0-world" not in gymnasium.registry:
    gymnasium.register("Tracker-v0-world", entry_point=Tracker, max_episode_steps=20)
spg.register_dataset("bars", *bars(480, seed=0))
spg.register_local_scalar("excitability", excitability)
spg.register_encoder("difference", difference_encoder)
spg.register_rule("fair-share", FairShare)
spg.register_head("small", SmallHead)
spg.register_task("Bars-v0", task=BarsTask, config=BarsConfig)
spg.register_task("Tracker-v0", task=spg.ControlTask, config=TrackerConfig)
