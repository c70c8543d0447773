"""Networks that act in a world: a closed loop of observation, input spikes, motor spikes and action.

The order within one action: observe -> encode -> simulate `steps_per_action` time steps (with plasticity events
in each) -> decode -> world.step -> reward -> third factors.

Axes: B lifetimes, R lifetimes of one call, D observations, N neurons.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.config.control import ControlConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.activity import NetworkActivity
from snn_plasticity_gym.networks.decoder_registry import make_decoder
from snn_plasticity_gym.networks.decoders import Decoder, groups_by_name
from snn_plasticity_gym.networks.encoder_registry import make_encoder
from snn_plasticity_gym.networks.given_weights import with_given_weights
from snn_plasticity_gym.networks.observation_encoders import CurrentInput, Encoder
from snn_plasticity_gym.networks.populations import Population, Projection
from snn_plasticity_gym.networks.receptive_fields import ObservationRanges
from snn_plasticity_gym.networks.recurrent import INPUT, MOTOR
from snn_plasticity_gym.plasticity.reward_factors import Critic, RewardFactors, Transition
from snn_plasticity_gym.tasks.base import Outcome, Seed, StepInput, Task
from snn_plasticity_gym.tasks.changes import deaf_neurons
from snn_plasticity_gym.tasks.control_loop import ControlLoop, control_loop
from snn_plasticity_gym.tasks.control_network import control_network
from snn_plasticity_gym.tasks.control_scene import control_scene
from snn_plasticity_gym.tasks.met_observations import MetObservations
from snn_plasticity_gym.tasks.scene import Moment, Scene
from snn_plasticity_gym.tasks.worlds import Worlds
from snn_plasticity_gym.utils.row_streams import RowUniforms
from snn_plasticity_gym.utils.state import State

_COMPILED = ("input", "observe", "outcome", "reward")  # methods that loops replace, if not overridden
PICTURE_ACTIONS = 10  # actions with recorded spikes for pictures


class ControlTask(Task):
    """A network between an encoder and a decoder acts in a Gymnasium environment for its reward.

    A user's task may derive from it and override the network in `network`, or the reward in `reward`.

    Args:
        config: Settings.
        num_lifetimes: B.
        device: Of the tensors.

    Raises:
        ConfigError: There is no such world, encoder or decoder, they do not fit each other, or episodes have no end.
    """

    def __init__(self, config: ControlConfig, num_lifetimes: int, device: torch.device) -> None:
        self.config = config
        self.num_lifetimes = num_lifetimes
        self.device = device
        self.worlds = Worlds(
            config.world,
            num_lifetimes,
            world_kwargs=json.loads(config.world_kwargs),
            attributes=json.loads(config.world_attributes),
            flipped_after=config.change_after if config.flipped else None,
            device=device,
        )
        self.source = config.world
        self.max_actions = config.max_actions or self.worlds.max_episode_steps or 0
        if not self.max_actions:
            raise ConfigError(f"world {config.world!r} has no step limit; set max_actions, after which it is truncated")
        if config.change_after >= self.max_actions:
            raise ConfigError(
                f"change_after={config.change_after} comes too late, since episodes have {self.max_actions} actions at "
                "most; lower it"
            )
        self.window = config.steps_per_action
        self.num_steps = self.window * self.max_actions
        self.record_steps = self.window * min(self.max_actions, PICTURE_ACTIONS)
        observations, actions = self.worlds.observation_space, self.worlds.action_space
        # Ranges of observations, if they are measured.
        self.met = MetObservations(config, self.worlds, self.max_actions) if config.range_quantile else None
        self.encoder = self._make_encoder()
        self.decoder: Decoder = make_decoder(config.decoder, actions, device, **json.loads(config.decoder_kwargs))
        self.groups = ["control"]
        self.readout = MOTOR
        self.populations, self.projections = self.network()
        self.deaf = deaf_neurons(self.populations, config.deaf, device) if config.deaf else {}  # bool (N,) each
        self.reward_factors = self._make_factors()
        self.credits_actions = config.third_factor == "credited"
        self.scalars = ("factor",) if self.reward_factors.values else ()
        self.streams = [np.random.default_rng(0)] * num_lifetimes  # of each lifetime's episode
        self.observations = torch.zeros(num_lifetimes, *observations.shape, device=device)  # (B, D)
        self._counts = torch.zeros(num_lifetimes, self.decoder.size, dtype=torch.int64, device=device)  # of the action
        self._noise = torch.zeros(num_lifetimes, self.window, self.decoder.size, device=device)
        self._actions_done = torch.zeros(num_lifetimes, dtype=torch.int64, device=device)  # (B,) of the episode
        # (B, D) largest value of each observation after the episode's actions
        self._highest = torch.full_like(self.observations, -math.inf)
        self.last_action: Tensor | None = None  # (B,) or (B, A); None before the first action

    def network(self) -> tuple[list[Population], list[Projection]]:
        """Describe the network, from the population "input" to the population "motor"."""
        config = self.config
        populations, projections = control_network(config, self.worlds, self.encoder, self.decoder)
        if config.init_weights:
            sizes = {population.name: population.size for population in populations}
            projections = with_given_weights(projections, sizes, config.init_weights, (config.w_min, config.w_max))
        return populations, projections

    def _make_encoder(self) -> Encoder | CurrentInput:
        config, ends = self.config, self.met.ends if self.met is not None else {}
        settings = json.loads(config.encoder_kwargs) | ends
        return make_encoder(config.encoder, self.worlds.observation_space, self.device, config.dt, **settings)

    def take_ranges(self, ranges: ObservationRanges) -> None:
        """Use given ranges for encoding observations; needs `met`."""
        assert self.met is not None
        self.met.ranges = ranges
        self.encoder = self._make_encoder()

    def _make_factors(self) -> RewardFactors:
        config, critic = self.config, None
        if config.third_factor in ("rpe", "targeted", "credited") and config.rpe_baseline == "critic":
            if not hasattr(self.encoder, "activation"):
                raise ConfigError(
                    f"rpe_baseline critic needs an encoder with activation(observation), {config.encoder!r} has none; "
                    "set rpe_baseline to mean"
                )
            critic = Critic(
                self.num_lifetimes,
                self.encoder.size,
                config.critic_rate,
                config.critic_gamma,
                config.critic_start,
                self.device,
                config.critic_pairs,
            )
        targets = {projection.target for projection in self.projections}
        sizes = {population.name: population.size for population in self.populations if population.name in targets}
        return RewardFactors(
            config.third_factor, sizes, MOTOR, self.num_lifetimes, config.reward_window, critic, self.device
        )

    def start_lifetimes(self, rows: Sequence[int], seeds: Sequence[Seed]) -> None:
        """Start new lifetimes: reset reward predictions."""
        self._allow_pictures()
        for row in rows:
            self.reward_factors.start_lifetime(row)

    def _allow_pictures(self) -> None:
        if self.render_mode is not None:
            self.worlds.allow_pictures()

    def reset(self, rows: Tensor, seeds: Sequence[Seed]) -> None:
        """Start an episode of the world in the lifetimes `rows`."""
        starts = []
        for row, seed in zip(rows.tolist(), seeds, strict=True):
            self.streams[row] = seed.episode_rng()
            starts.append(int(self.streams[row].integers(2**31)))
        self.observations[rows] = self.worlds.reset(rows, starts)
        if self.met is not None and self.met.begin(rows, self._actions_done[rows], self.observations[rows]):
            self.encoder = self._make_encoder()
        self._counts[rows] = 0
        self._actions_done[rows] = 0
        self._highest[rows] = -math.inf
        self.reward_factors.begin(rows)

    @functools.cached_property
    def _loop(self) -> ControlLoop | None:
        own = all(getattr(type(self), name) is getattr(ControlTask, name) for name in _COMPILED)
        return control_loop(self) if own else None

    def closed_loop(self) -> ControlLoop | None:
        """Return the loop, unless a derived task overrides a part of it."""
        return self._loop

    def lived(self, observations: Tensor, last_action: Tensor, actions_done: Tensor) -> None:
        """Set the state after compiled loops have run all lifetimes, (B, D), (B,) and (B,)."""
        self.observations.copy_(observations)
        self.last_action = last_action
        self._actions_done.copy_(actions_done)

    def input(self, rows: Tensor, step: int | Tensor) -> StepInput:
        """Return the input of this step: the encoded last observation, and noise."""
        phase = step % self.window
        begins = torch.as_tensor(phase == 0, device=self.device).expand(len(rows))  # bool (R,)
        rest = None if self.config.carry_state or not begins.any() else begins
        spikes, currents = {}, {}
        if isinstance(self.encoder, CurrentInput):
            currents[INPUT] = self.encoder.currents(self.observations[rows], step)
        else:
            spikes[INPUT] = self.encoder.spikes(self.observations[rows], step, self._uniforms(rows))
        if self.config.noise:
            self._draw_noise(rows[begins])
            currents[MOTOR] = self._noise[rows, phase]
        return StepInput(spikes, currents, rest, self._deaf(rows, begins))

    def _deaf(self, rows: Tensor, begins: Tensor) -> dict[str, Tensor]:
        """Return the mask of neurons deaf from the action that begins now, bool (R, N) by population."""
        if not self.deaf or not begins.any():
            return {}
        late = begins & (self._actions_done[rows] >= self.config.change_after)  # (R,)
        return {name: late[:, None] & neurons for name, neurons in self.deaf.items()}

    def _uniforms(self, rows: Tensor) -> RowUniforms:
        return RowUniforms([self.streams[row] for row in rows.tolist()], self.device)

    def _draw_noise(self, rows: Tensor) -> None:
        """Draw the noise of the whole action that begins in the lifetimes `rows`."""
        for row in rows.tolist():
            # In double precision, as compiled loops draw the same numbers.
            normal = self.streams[row].standard_normal(self._noise.shape[1:]).astype(np.float32)
            self._noise[row] = self.config.noise / math.sqrt(self.config.dt) * torch.from_numpy(normal)

    def observe(self, rows: Tensor, step: int | Tensor, activity: NetworkActivity) -> None:
        """Count the motor spikes."""
        self._counts[rows] += activity.spikes[MOTOR]

    def outcome(self, rows: Tensor, step: int | Tensor) -> Outcome | None:
        """Act in the lifetimes with a completed window, and return their step results."""
        if isinstance(step, int):
            if (step + 1) % self.window:
                return None
        else:
            rows = rows[(step + 1) % self.window == 0]
            if not len(rows):
                return None
        actions = self._decode(rows)
        before = self.observations[rows]
        step_result = self.worlds.step(rows, actions)
        self.observations[rows] = step_result.observation
        self._highest[rows] = torch.maximum(self._highest[rows], step_result.observation)
        self._counts[rows] = 0
        self._actions_done[rows] += 1
        if self.met is not None:
            self.met.note(rows, self._actions_done[rows], step_result.observation)
        late = self._actions_done[rows] >= self.max_actions
        reward = self.reward(rows, before, actions, step_result.observation, step_result.reward)
        self._update_factors(rows, before, actions, step_result.observation, reward, step_result.terminated)
        info = {"num_actions": self._actions_done[rows], "highest": self._highest[rows]}
        truncated = (step_result.truncated | late) & ~step_result.terminated
        return Outcome(rows, reward, step_result.terminated, truncated, info=info)

    def _decode(self, rows: Tensor) -> Tensor:
        """Return the actions of the lifetimes `rows`, decoded with the last action of the episode, if any."""
        duration = self.window * self.config.dt  # ms
        fresh = self._actions_done[rows] == 0  # bool (R,)
        if self.last_action is None or fresh.all():
            actions = self.decoder.decode(self._counts[rows], duration, self._uniforms(rows))
        elif not fresh.any():
            last = self.last_action[rows]
            actions = self.decoder.decode(self._counts[rows], duration, self._uniforms(rows), last)
        else:  # a row has a separate stream, independent of the number of calls
            actions = self.last_action[rows]
            actions[fresh], actions[~fresh] = self._decode(rows[fresh]), self._decode(rows[~fresh])
        if self.last_action is None:
            self.last_action = actions.new_zeros(self.num_lifetimes, *actions.shape[1:])
        self.last_action[rows] = actions
        return actions

    def reward(self, rows: Tensor, before: Tensor, actions: Tensor, after: Tensor, paid: Tensor) -> Tensor:
        """Return the reward of an action, float32 (R,): here the world's.

        Args:
            rows: Lifetimes, int64 (R,).
            before: Observations before the action, (R, D).
            actions: Actions, (R,) or (R, A).
            after: Observations after the action, (R, D).
            paid: Reward of the world, (R,).
        """
        return paid

    def _update_factors(
        self, rows: Tensor, before: Tensor, actions: Tensor, after: Tensor, reward: Tensor, terminated: Tensor
    ) -> None:
        if not self.reward_factors.values:
            return
        phi = then = before.new_zeros(len(rows), 0)  # (R, F)
        if self.reward_factors.predicts:
            code: Any = self.encoder
            phi, then = code.activation(before), code.activation(after)
        self.reward_factors.update(Transition(rows, reward, terminated, phi, then, self.decoder.groups(actions)))

    def factors(self) -> dict[str, Tensor]:
        """Return the third factor of the neurons of each population, (B, N)."""
        return self.reward_factors.values

    def credit(self) -> dict[str, Tensor]:
        """Return the sign of the last action's eligibility of the motor neurons' synapses, (B, N)."""
        return self.reward_factors.signs

    def trace(self, row: int) -> dict[str, Tensor]:
        """Return the last action of a lifetime, () or (A,)."""
        return {} if self.last_action is None else {"action": self.last_action[row]}

    def answer_groups(self) -> dict[str, Tensor]:
        """Return the motor neurons of each action, or of each direction of a bounded action."""
        return groups_by_name(self.decoder, self.worlds.action_space, self.device)

    def remedy(self, population: str) -> str:
        """Return a remedy for a silent population."""
        if population == INPUT:
            return "let encoder_kwargs give it higher rates or currents, or raise steps_per_action"
        return "raise w_init_max, steps_per_action, or the rates in encoder_kwargs"

    def observation(self, row: int) -> NDArray[np.float32]:
        """Return a copy of the last observation of lifetime `row`, (D,)."""
        return self.observations[row].cpu().numpy().copy()

    def scene(self, row: int, moment: Moment) -> Scene:
        """Return the world, its encoding, the weights into the motor neurons, and the last action."""
        return control_scene(self, row, moment)

    def manifest(self) -> dict[str, Any]:
        """Return the world, its arguments, and its changes."""
        changes = {name: getattr(self.config, name) for name in ("world_kwargs", "world_attributes")}
        return {"name": self.source, **changes}

    def state_dict(self) -> State:
        """Return the state of reward predictions, of the worlds, and of the random streams of episodes."""
        return {
            "worlds": self.worlds.state_dict(),
            "streams": [stream.bit_generator.state for stream in self.streams],
            "factors": self.reward_factors.state_dict(),
            **({} if self.met is None else {"met": self.met.state_dict()}),
        }

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""
        self._allow_pictures()
        self.worlds.load_state_dict(state["worlds"])
        for row, saved in enumerate(state["streams"]):
            self.streams[row] = np.random.default_rng(0)
            self.streams[row].bit_generator.state = saved
        self.reward_factors.load_state_dict(state["factors"])
        all_rows = torch.arange(self.num_lifetimes, device=self.device)
        self.observations[:] = self.worlds.observations(all_rows)
        self._counts.zero_()
        self._actions_done.zero_()
        if self.met is not None:
            self.met.load_state_dict(state["met"])
            self.met.note(all_rows, self._actions_done, self.observations)
            self.encoder = self._make_encoder()
        self._highest.fill_(-math.inf)
        self.reward_factors.begin(all_rows)

    def close(self) -> None:
        """Close the worlds."""
        self.worlds.close()
