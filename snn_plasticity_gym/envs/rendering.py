"""A picture of one lifetime: what it sees, who fires, what the leading neuron looks for, what that was worth.

Axes: H, W height and width of an image, T steps, N neurons of the answering population.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.envs.episode import LastEpisode
from snn_plasticity_gym.networks.spike_counts import count_spikes
from snn_plasticity_gym.rewards.unsupervised import STABILITY
from snn_plasticity_gym.rewards.winner import NO_WINNER, winner
from snn_plasticity_gym.tasks.image_task import image_task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 900, 520  # pixels
_DPI = 100
_DARK, _QUIET, _ACCENT = "#1a1a1a", "#6e6e6e", "#d55e00"
_TERM_COLORS = ("#0072b2", "#009e73", "#cc79a7", "#e69f00")  # Okabe & Ito (2008), told apart by colour-blind eyes
_SMALL, _NORMAL, _LARGE = 9, 10, 12  # points
_MOST_TERMS = 4  # of the reward that the picture has room for


class Frame(NamedTuple):
    """The numbers in a picture; everything is a copy."""

    image: NDArray[np.uint8]  # (H, W)
    label: int
    number: int  # of the image in its lifetime, from 1
    steps: int  # done so far
    step_length: float  # ms
    num_events: int  # so far
    input_counts: NDArray[np.int64]  # (H, W) spikes of each input neuron so far
    readout: str  # name of the answering population
    raster: NDArray[np.bool_]  # (T, N) spikes of the answering population; False where the future is
    leader: int  # neuron that would win now, NO_WINNER before the first spike
    field_neuron: int  # whose input weights are shown: the leader, else the last winner, else NO_WINNER
    field: NDArray[np.float32] | None  # (H, W) its input weights; None without such a neuron or such weights
    field_range: tuple[float, float]  # weights that the projection can have
    last: LastEpisode | None  # how the last judged episode of this lifetime went
    judged: bool  # whether that is the episode shown


def check_render_mode(render_mode: str | None, allowed: Sequence[str]) -> str | None:
    """Return `render_mode`; raise ValueError if it is neither None nor one of `allowed`."""
    if render_mode is not None and render_mode not in allowed:
        window = "; for a window give render_mode='human' to gymnasium.make, which needs pygame"
        raise ValueError(
            f"render_mode must be one of {', '.join(allowed)} or None, got {render_mode!r}"
            + (window if render_mode == "human" else "")
        )
    return render_mode


def frame_of(engine: Engine, row: int) -> Frame:
    """Read off what a picture of lifetime `row` shows at its present moment; nothing is changed.

    Raises:
        RuntimeError: No image has been shown yet.
    """
    if not engine.has_begun(row):
        raise RuntimeError("there is nothing to render yet; call reset() first")
    steps = int(engine.steps[row])
    task, last = image_task(engine.task), engine.last_episodes[row]
    shown = task.shown(row)
    image = task.dataset.split(task.config.split).images[shown.image].numpy().copy()  # (H, W)
    input_counts = engine.raster[task.input_name][row, :steps].sum(dim=0)  # (H * W,)
    raster = engine.raster[task.readout][row].clone()  # (T, N)
    raster[steps:] = False
    leader = int(winner(count_spikes(raster[None]))[0])
    judged = last is not None and bool(engine.ended[row])
    field_neuron = int(last.info["winner"]) if leader == NO_WINNER and last is not None else leader
    field, field_range = _receptive_field(engine, row, field_neuron)
    return Frame(
        image=image,
        label=shown.label,
        number=int(engine.ages[row]) + (not judged),
        steps=steps,
        step_length=engine.config.dt,
        num_events=int(engine.num_events[row]),
        input_counts=input_counts.cpu().numpy().reshape(image.shape),
        readout=task.readout,
        raster=raster.cpu().numpy(),
        leader=leader,
        field_neuron=field_neuron,
        field=None if field is None else field.reshape(image.shape),
        field_range=field_range,
        last=last,
        judged=judged,
    )


def _receptive_field(engine: Engine, row: int, neuron: int) -> tuple[NDArray[np.float32] | None, tuple[float, float]]:
    """Return the weights from the input to one answering neuron, (H * W,), and the range of such weights."""
    task, network = image_task(engine.task), engine.network
    ends = (task.input_name, task.readout)
    direct = [p for p in network.projections if (p.source, p.target) == ends and not p.one_to_one]
    if neuron == NO_WINNER or not direct:
        return None, (0.0, 1.0)
    plasticity = direct[0].plasticity
    weights = network.weights_of(direct[0].name)[row, :, neuron]  # (H * W,)
    limits = (plasticity.w_min, plasticity.w_max) if plasticity else (float(weights.min()), float(weights.max()))
    return weights.to(device="cpu", dtype=torch.float32, copy=True).numpy(), limits


def bars_of(last: LastEpisode) -> dict[str, float]:
    """Return the values that stand beside the picture: the first terms of a reward, then the reward."""
    return {**dict(list(last.terms.items())[:_MOST_TERMS]), "reward": last.reward}


def render_frame(engine: Engine, row: int) -> NDArray[np.uint8]:
    """Draw lifetime `row` at its present moment, uint8 (520, 900, 3); nothing is changed.

    Above: the image, its input spikes so far, the input weights of the neuron that leads, the terms of the last reward.
    Below: the spikes of the answering population over the steps of the episode, the leading neuron in orange.

    Raises:
        RuntimeError: No image has been shown yet.
    """
    # Here, since importing environments should not import matplotlib. No pyplot: it keeps figures and picks a backend.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    frame = frame_of(engine, row)
    figure = Figure(figsize=(WIDTH / _DPI, HEIGHT / _DPI), dpi=_DPI, facecolor="white")
    figure.set_layout_engine("none")
    canvas = FigureCanvasAgg(figure)
    figure.text(0.5, 0.955, _title(frame), ha="center", va="center", fontsize=_LARGE, color=_DARK)
    _draw_image(figure, frame)
    _draw_input_spikes(figure, frame)
    _draw_field(figure, frame)
    _draw_reward(figure, frame)
    _draw_raster(figure, frame)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _title(frame: Frame) -> str:
    return (
        f"label {frame.label}   |   image {frame.number} of this lifetime   |   step {frame.steps}/{len(frame.raster)}"
        f"   |   {_count(int(frame.raster.sum()), f'{frame.readout} spike')}   |   {_count(frame.num_events, 'event')}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Return axes at a place given in pixels from the upper left corner."""
    axes = figure.add_axes((left / WIDTH, 1 - (top + height) / HEIGHT, width / WIDTH, height / HEIGHT))
    axes.tick_params(labelsize=_SMALL, colors=_DARK, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return axes


def _draw_image(figure: Figure, frame: Frame) -> None:
    axes = _picture_axes(figure, 30, "image")
    axes.imshow(frame.image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    height, width = frame.image.shape
    axes.set_xlabel(f"{height} x {width} pixels", fontsize=_SMALL, color=_QUIET)


def _draw_input_spikes(figure: Figure, frame: Frame) -> None:
    axes = _picture_axes(figure, 216, "input spikes so far")
    most = max(1, int(frame.input_counts.max()))
    drawn = axes.imshow(frame.input_counts, cmap="cividis", vmin=0, vmax=most, interpolation="nearest")
    _color_bar(figure, 368, drawn, (0, most))
    axes.set_xlabel("spikes per pixel", fontsize=_SMALL, color=_QUIET)


def _draw_field(figure: Figure, frame: Frame) -> None:
    if frame.field is None:
        axes = _picture_axes(figure, 434, "receptive field")
        _say(axes, "no spike yet" if frame.field_neuron == NO_WINNER else "no direct\ninput weights")
        return
    standing = "won" if frame.judged else "leads" if frame.leader != NO_WINNER else "won last"
    axes = _picture_axes(figure, 434, f"{frame.readout} neuron {frame.field_neuron} {standing}")
    low, high = frame.field_range
    drawn = axes.imshow(frame.field, cmap="cividis", vmin=low, vmax=high, interpolation="nearest")
    _color_bar(figure, 586, drawn, (low, high))
    axes.set_xlabel("input weights, no unit", fontsize=_SMALL, color=_QUIET)


def _picture_axes(figure: Figure, left: float, title: str) -> Axes:
    axes = _axes(figure, left, 75, 146, 146)
    axes.set_title(title, fontsize=_NORMAL, color=_DARK)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, color=_QUIET)
    return axes


def _color_bar(figure: Figure, left: float, drawn: ScalarMappable, ends: tuple[float, float]) -> None:
    bar = figure.colorbar(drawn, cax=_axes(figure, left, 75, 8, 146), ticks=list(ends))
    bar.set_ticklabels([f"{end:g}" for end in ends])
    bar.ax.tick_params(labelsize=_SMALL, length=2)
    bar.outline.set_edgecolor(_QUIET)


def _draw_reward(figure: Figure, frame: Frame) -> None:
    axes = _axes(figure, 712, 75, 126, 146)
    if frame.last is None:
        axes.set_title("last reward", fontsize=_NORMAL, color=_DARK)
        axes.set_axis_off()
        _say(axes, "no image finished yet")
        return
    axes.set_title(f"reward of image {frame.number - (not frame.judged)}", fontsize=_NORMAL, color=_DARK)
    values = bars_of(frame.last)
    known = [value for value in values.values() if math.isfinite(value)]
    low, high = min(0.0, *known), max(1.0, *known)
    for place, (name, value) in enumerate(values.items()):
        if math.isfinite(value):
            color = _ACCENT if name == "reward" else _TERM_COLORS[place % len(_TERM_COLORS)]
            axes.barh(place, value, color=color, height=0.62)
            said = f"{value:.2f}" if value == 0 or 0.005 <= abs(value) < 1000 else f"{value:.0e}"
            axes.text(high + 0.05 * (high - low), place, said, va="center", fontsize=_SMALL, color=_DARK)
        else:
            why = "first presentation" if name == STABILITY else "no value"
            axes.text(low, place, f" {why}", va="center", fontsize=_SMALL, color=_QUIET)
    axes.set_yticks(range(len(values)), list(values))
    axes.set_xticks((low, high), labels=[f"{end:.3g}" for end in (low, high)])
    if low < 0:
        axes.axvline(0.0, color=_QUIET, linewidth=0.8)
    axes.set_xlim(low, high)
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.set_xlabel("no unit", fontsize=_SMALL, color=_QUIET)


def _draw_raster(figure: Figure, frame: Frame) -> None:
    from matplotlib.ticker import MaxNLocator

    left, top, width, height = 70, 298, 808, 174  # pixels
    axes = _axes(figure, left, top, width, height)
    num_steps, num_neurons = frame.raster.shape
    axes.axvspan(frame.steps + 0.5, num_steps + 0.5, color="#eeeeee", linewidth=0)
    cell = min(width / num_steps, height / num_neurons)  # pixels
    size = float(np.clip(0.8 * cell, 3.0, 9.0)) * 72 / _DPI  # points
    step, neuron = frame.raster.nonzero()
    leading = neuron == frame.leader
    for some, color, scale in ((~leading, _DARK, 1.0), (leading, _ACCENT, 1.6)):
        axes.plot(
            step[some] + 1, neuron[some], "s", markersize=scale * size, color=color, markeredgewidth=0, clip_on=False
        )
    if not len(step):
        _say(axes, "no spike yet")
    elif frame.leader != NO_WINNER:
        said = f"{frame.readout} neuron {frame.leader}: {_count(int(leading.sum()), 'spike')}"
        axes.text(1.0, 1.03, said, transform=axes.transAxes, ha="right", va="bottom", fontsize=_NORMAL, color=_ACCENT)
    axes.set_title(f"spikes of the {frame.readout} neurons", loc="left", fontsize=_NORMAL, color=_DARK)
    axes.set_xlim(0.5, num_steps + 0.5)
    axes.set_ylim(-0.5, num_neurons - 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(10, steps=(1, 2, 5, 10), integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10), integer=True, min_n_ticks=1))
    axes.set_xlabel(f"time step of {frame.step_length:g} ms", fontsize=_NORMAL, color=_DARK)
    axes.set_ylabel("neuron", fontsize=_NORMAL, color=_DARK)


def _say(axes: Axes, text: str) -> None:
    """Write in the middle of otherwise empty axes."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=_NORMAL, color=_QUIET)
