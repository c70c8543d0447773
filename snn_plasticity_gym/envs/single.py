"""The single environment: the engine with one row."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.envs.event_interface import (
    EventInterface,
    Observation,
    episode_info,
    read_actions,
)
from snn_plasticity_gym.envs.flat_batches import FlatBatches
from snn_plasticity_gym.envs.making import make_engine, read_config, read_options, read_seed
from snn_plasticity_gym.envs.rendering import check_render_mode, render_frame
from snn_plasticity_gym.envs.spaces import action_space, observation_space


class PlasticityEnv(FlatBatches, gymnasium.Env[Observation, NDArray[np.float32]]):
    """A spiking network whose plastic synapses receive weight changes as actions.

    Description:
        A network is shown an image as input spikes for T time steps. Whenever the pre or the post neuron of a plastic
        synapse fires, that synapse has an event: its local state is observed, and the action is a normalised weight
        change, w <- clip(w + eta * alpha * delta_d, w_min, w_max), at once. An episode is one image; where the network
        acts in a world, it is one of the world's. The network persists over episodes: `reset()` begins the next one,
        `reset(seed=...)` and `reset(options={"new_lifetime": True})` grow a new network.

    Observation, a Dict with E = `events_per_step` slots:

        | key | shape | dtype | meaning |
        |---|---|---|---|
        | `history` | (E, 2, K) | uint8, 0 or 1 | last K steps of the pre and the post neuron, oldest first |
        | `weight` | (E,) | float32 | the synapse's weight, dimensionless |
        | `group` | (E,) | int64 | policy head of the event; -1 in a slot without an event |
        | `kind` | (E,) | int64 | spiking neuron: 0 pre, 1 post, 2 both; -1 without an event |
        | `mask` | (E,) | uint8, 0 or 1 | 1 where the slot holds an event |
        | `layer` | (E,) | float32 | `Grad` only: scalar that codes the synapse's layer |
        | `factor` | (E,) | float32 | with a `third_factor` that is shown only: third factor of the post neuron |
        | others | (E,) | float32 | those of `local_state`, under their names |

        Bounds are finite but for local scalars that have none: `potential`, `theta` and `reward` of `local_state`, and
        a `factor` other than `teaching`.

        A time step with more than E events is presented over several steps, while the network waits. A time step
        without events is one step with every slot masked out.

        With `event_kinds="split"` a time step presents first its pre events (kind 0), then its post events (kind 1):
        each in separate steps, with a separate policy head, and a masked-out step where there are none. A synapse
        whose two neurons fired has two events, the second with its new weight.

    Action:
        Box(-1, 1, (E,)): the normalised weight change of each slot. Slots with mask 0 are ignored.

    Reward:
        0, but on the terminal step the reward of the episode. `SNNPlastic-Unsup1-v0` and `-Unsup2-v0`:
        c_s * sparsity + c_d * diversity + c_r * stability of the E neurons' response (see `UnsupervisedReward`).
        `SNNPlastic-Grad-v0`: mean over events of -g dw - lambda dw^2, where g is the gradient of the classification
        loss (see `GradientTask`); `returns` of the terminal info holds each event's reward. `SNNPlastic-Semi-v0`: 1 for
        a correct prediction, else -1, plus alpha_margin times the margin, less alpha_spike times the mean output rate
        (see `ClassificationReward`). In a world: its reward, in the step that ends an action.

    Episode end:
        Terminates after all events of the last time step: after `num_steps` steps or more, some 290 in
        `SNNPlastic-Unsup1-v0` with MNIST. No `TimeLimit` cuts it off unless `max_episode_steps` is given. Its info
        then holds `reward_terms`, `returns` (of every event, in order), `winner` (-1: none), `rates` (spikes per ms
        of each E neuron), `spikes` by population, `num_events`, `image` (index in its split) and `label`. A term
        without a value is NaN.

        In a world: terminates with the world's episode, and is truncated with it or after `max_actions`; the info
        has `num_actions` in the place of `winner`, `image` and `label`.

    Args:
        env_id: Id of the environment, e.g. "SNNPlastic-Unsup1-v0"; `gymnasium.make` gives it.
        render_mode: "rgb_array" or None.
        settings: Fields of the environment's configuration class, e.g. `n_exc=100`.

    Raises:
        ConfigError: An argument is out of range or contradicts another.
        UnexpectedKeywordError: There is no argument of that name; it is a TypeError, too.

    Version history:
        v0: first version.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - Gymnasium's own form

    def __init__(self, env_id: str, render_mode: str | None = None, **settings: Any) -> None:
        self.render_mode = check_render_mode(render_mode, self.metadata["render_modes"])
        self.config = read_config(env_id, settings)
        self._interface = EventInterface(make_engine(env_id, self.config, 1, self.render_mode))
        self.observation_space = observation_space(self.config, self.engine)  # type: ignore[assignment]
        self.action_space = action_space(self.config)  # type: ignore[assignment]
        self._started = False

    @property
    def engine(self) -> Engine:
        """The engine of the lifetime."""
        return self._interface.engine

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin the next episode.

        Args:
            seed: Starts a new lifetime; everything that follows is a function of it.
            options: {"new_lifetime": True} starts a new lifetime too, the next one of the present seed.

        Returns:
            Observation of the first time step, and an empty info.

        Raises:
            ConfigError: There is no such option, or the seed is invalid.
        """
        new = read_options(options, ("new_lifetime",)).get("new_lifetime")
        seed = None if seed is None else read_seed(seed)
        super().reset(seed=seed)
        if seed is None and not self._started:
            seed = int(self.np_random.integers(2**31))
        if seed is not None or new:
            self.engine.start_lifetimes([0], [seed])
        self._started = True
        self._interface.begin()
        return self._observe(), {}

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Apply weight changes for the presented events.

        Args:
            action: Normalised weight changes, (E,).

        Raises:
            RuntimeError: The episode is over.
            ValueError: Wrong shape, or a used slot is not finite.
        """
        result_of_slots = self._interface.apply_slots(read_actions(action)[np.newaxis])
        reward = float(result_of_slots.reward[0])
        if not result_of_slots.ended:
            return self._observe(), reward, False, False, {}
        result = self.engine.finish([0])
        truncated = bool(result.truncated[0])
        blank = {name: values[0] for name, values in self._interface.blank(1).items()}
        return blank, reward, not truncated, truncated, episode_info(result)

    def _observe(self) -> Observation:
        return {name: values[0] for name, values in self._interface.observe().items()}

    def render(self) -> NDArray[np.uint8] | None:
        """Return a picture of the network, uint8 (height, width, 3); None without a render mode."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs render_mode='rgb_array' at construction")
            return None
        return render_frame(self.engine, 0)

    def close(self) -> None:
        """Free resources of the task, e.g. worlds."""
        self.engine.task.close()
