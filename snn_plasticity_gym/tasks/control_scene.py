"""What a picture of a network that acts shows: its world, how it is encoded, the weights that decide, what was done.

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

MOST_BARS = 8  # that a panel has room for


def control_scene(task: ControlTask, row: int, moment: Moment) -> Scene:
    """Return what a picture of lifetime `row` shows."""
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
    """Return the observation in words, if it has few numbers."""
    values = task.observation(row)
    return ", ".join(f"{value:.2g}" for value in values) if len(values) <= 4 else f"{len(values)} observations"


def _encoding(task: ControlTask, row: int, steps: int) -> Panel:
    """Return how active each input neuron is, observations by fields; of an encoder that does not tell, its spikes."""
    observation = torch.from_numpy(task.observation(row))[None].to(task.device)  # (1, D)
    encoder: Any = task.encoder
    num_observations = observation.shape[1]
    if hasattr(encoder, "activation") or hasattr(encoder, "currents"):
        told = hasattr(encoder, "activation")
        values = (encoder.activation(observation) if told else encoder.currents(observation, steps))[0].cpu().numpy()
        limits = (0.0, 1.0) if told else (float(min(values.min(), 0.0)), float(max(values.max(), 1e-6)))
        what = "activity" if told else "current"
    else:
        spikes = recent_spikes(task.record, INPUT, row, steps)
        values, what = spikes.spikes.sum(axis=0), "spikes"
        limits = (0.0, float(max(1, values.max(initial=0))))
    by_rows = num_observations if len(values) % num_observations == 0 else 1
    pixels = values.reshape(by_rows, -1)
    said = f"{by_rows} observations x {pixels.shape[1]} neurons" if by_rows > 1 else f"{len(values)} neurons"
    return Panel(f"{what} of the input", pixels, said, limits, square=False)


def _weights(task: ControlTask, row: int) -> Panel:
    """Return the weights into the motor neurons, the plastic ones if there are such."""
    into = [p for p in task.projections if p.target == task.readout and not p.one_to_one]
    chosen = [p for p in into if p.plasticity is not None] or into
    if not chosen:
        return Panel("weights", None, "no weights into\nmotor neurons")
    return weight_panel(task.record.network, chosen[0], row)


def _raster(task: ControlTask, row: int, steps: int, actions: list[NDArray[Any]]) -> Raster:
    """Return the last spikes of the motor neurons; those of the neurons that stand for the action taken stand out."""
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
    """Return what was done last: how often the groups of Discrete actions fired, or the numbers of a Box action."""
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
