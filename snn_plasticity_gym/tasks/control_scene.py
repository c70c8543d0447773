"""Scene of a network that acts: its world, the encoding, the weights into motor neurons, the last action.

Axes: D observations, T time steps of the raster, N motor neurons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from snn_plasticity_gym.networks.receptive_fields import UNBOUNDED
from snn_plasticity_gym.networks.recurrent import INPUT, MOTOR
from snn_plasticity_gym.tasks.scene import (
    Bars,
    Moment,
    Panel,
    Raster,
    Scene,
    count_panel,
    recent_spikes,
    weight_panel,
)

if TYPE_CHECKING:
    from snn_plasticity_gym.tasks.control import ControlTask

MOST_BARS = 8  # that fit in a panel


def control_scene(task: ControlTask, row: int, moment: Moment) -> Scene:
    """Return the scene of lifetime `row`."""
    actions = task.worlds.actions(row)
    title = (
        f"{task.source}   |   episode {moment.number}   |   {len(actions)} of {task.max_actions} actions   |   "
        f"reward {moment.reward:.4g}"
    )
    raster = _raster(task, row, moment.steps, actions)
    panels = [
        _frame(task, row),
        _encoding(task, row, moment.steps),
        _weights(task, row),
        _action(task, raster, actions),
    ]
    return Scene(title, panels, raster)


def _frame(task: ControlTask, row: int) -> Panel:
    if task.render_mode is None:
        return Panel("world", None, "made without\npictures")
    frame = task.worlds.frame(row)
    return Panel("world", frame, "no picture:\nsee the warning" if frame is None else _numbers(task, row))


def _numbers(task: ControlTask, row: int) -> str:
    """Return the observation as text, if it has few numbers."""
    values = task.observation(row)
    return ", ".join(f"{value:.2g}" for value in values) if len(values) <= 4 else f"{len(values)} observations"


def _encoding(task: ControlTask, row: int, steps: int) -> Panel:
    """Return the activity of each input neuron, observations by fields; without activation, currents or spikes."""
    observation = torch.from_numpy(task.observation(row))[None].to(task.device)  # (1, D)
    encoder: Any = task.encoder
    num_observations = observation.shape[1]
    if hasattr(encoder, "activation") or hasattr(encoder, "currents"):
        has_activation = hasattr(encoder, "activation")
        encoded = encoder.activation(observation) if has_activation else encoder.currents(observation, steps)
        values = encoded[0].cpu().numpy()
        limits = (0.0, 1.0) if has_activation else (float(min(values.min(), 0.0)), float(max(values.max(), 1e-6)))
        what = "activity" if has_activation else "current"
    else:
        spikes = recent_spikes(task.record, INPUT, row, steps)
        values, what = spikes.spikes.sum(axis=0), "spikes"
        limits = (0.0, float(max(1, values.max(initial=0))))
    by_rows = num_observations if len(values) % num_observations == 0 else 1
    pixels = values.reshape(by_rows, -1)
    caption = f"{by_rows} observations x {pixels.shape[1]} neurons" if by_rows > 1 else f"{len(values)} neurons"
    return Panel(f"{what} of the input", pixels, caption, limits, square=False)


def _weights(task: ControlTask, row: int) -> Panel:
    """Return the weights into the motor neurons, the plastic ones if any."""
    into = [p for p in task.projections if p.target == task.readout and not p.one_to_one]
    chosen = [p for p in into if p.plasticity is not None] or into
    if not chosen:
        return Panel("weights", None, "no weights into\nmotor neurons")
    return weight_panel(task.record.network, chosen[0], row)


def _raster(task: ControlTask, row: int, steps: int, actions: list[NDArray[Any]]) -> Raster:
    """Return the last spikes of the motor neurons; those of the action taken are highlighted."""
    raster = recent_spikes(task.record, MOTOR, row, steps)
    window, accent = task.window, np.zeros_like(raster.spikes)
    for place, action in enumerate(actions):
        start = place * window - raster.first
        if start + window > 0:
            chosen = task.decoder.groups(torch.from_numpy(np.asarray(action))[None].to(task.device))[0].cpu().numpy()
            accent[max(start, 0) : start + window] = chosen
    boundaries = range(window * (raster.first // window + 1), raster.first + len(raster.spikes), window)
    return raster._replace(
        accent=raster.spikes & accent, caption="neurons of the action taken" if actions else "", boundaries=boundaries
    )


def _action(task: ControlTask, raster: Raster, actions: list[NDArray[Any]]) -> Bars | Panel:
    """Return the last action: spike counts of the groups of Discrete actions, or the values of a Box action."""
    if not actions:
        return Bars("last action", {}, "none yet")
    space, last = task.worlds.action_space, actions[-1]
    if isinstance(space, Box):
        values = {str(axis): float(value) for axis, value in enumerate(last.reshape(-1)[:MOST_BARS])}
        ends = float(space.low.min()), float(space.high.max())
        bounded = max(map(abs, ends)) < UNBOUNDED
        return Bars("last action", values, "value of each dimension", limits=ends if bounded else None)
    assert isinstance(space, Discrete)
    groups = task.decoder.groups(torch.arange(int(space.n), device=task.device)).cpu().numpy()  # bool (n, N)
    start = (len(actions) - 1) * task.window - raster.first
    counts = raster.spikes[max(start, 0) : start + task.window].sum(axis=0) @ groups.T  # (n,)
    if space.n > MOST_BARS:
        return count_panel(f"last action {int(last)}", counts[None], "motor spikes of each action")
    values = {str(action): float(count) for action, count in enumerate(counts)}
    return Bars(f"last action {int(last)}", values, "motor spikes of each", accent=str(int(last)), counts=True)
