"""A picture of one lifetime: the panels of its task, spikes, and the last episode's reward.

Axes: H, W height and width of a panel, T time steps of the raster, N neurons of the readout population.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.envs.episode import LastEpisode
from snn_plasticity_gym.rewards.unsupervised import STABILITY
from snn_plasticity_gym.tasks.scene import MOST_PANELS, Bars, Moment, Panel, Raster, Scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 900, 520  # pixels
_DPI = 100
_DARK, _QUIET, _ACCENT = "#1a1a1a", "#6e6e6e", "#d55e00"
_TERM_COLORS = ("#0072b2", "#009e73", "#cc79a7", "#e69f00")  # Okabe & Ito (2008), distinguishable with colour blindness
_SMALL, _NORMAL, _LARGE = 9, 10, 12  # points
_MOST_TERMS = 4  # terms of the reward in the picture
_SIDE, _TOP, _WIDEST = 146, 75, 194  # pixels: of a panel, of its upper edge, of a panel with a wide picture
_TITLE_SIZES = (_LARGE, 11, _NORMAL, _SMALL, 8)  # points, the first one that fits is used


def check_render_mode(render_mode: str | None, allowed: Sequence[str]) -> str | None:
    """Return `render_mode`; raise ValueError if it is neither None nor one of `allowed`."""
    if render_mode is not None and render_mode not in allowed:
        window = "; for a window give render_mode='human' to gymnasium.make, which needs pygame"
        raise ValueError(
            f"render_mode must be one of {', '.join(allowed)} or None, got {render_mode!r}"
            + (window if render_mode == "human" else "")
        )
    return render_mode


def moment_of(engine: Engine, row: int) -> Moment:
    """Return the progress of lifetime `row`'s episode."""
    last = engine.last_episodes[row]
    finished = last is not None and engine.lifetimes.attempts[row] == 0
    return Moment(
        steps=int(engine.steps[row]),
        number=int(engine.ages[row]) + (not finished),
        reward=float(engine.earnings.of([row], torch.tensor([row], device=engine.device)).reward),
        finished=bool(finished),
        last=None if last is None else last.info,
    )


def scene_of(engine: Engine, row: int) -> Scene:
    """Return the content of a picture of lifetime `row` at its present moment; nothing is changed.

    The title shows the progress of the episode; if the task has few panels, the last one shows an episode's reward.

    Raises:
        RuntimeError: No episode has begun.
    """
    if not engine.has_begun(row):
        raise RuntimeError("there is nothing to render yet; call reset() first")
    moment = moment_of(engine, row)
    scene = engine.task.scene(row, moment)
    panels = list(scene.panels)[:MOST_PANELS]
    if len(panels) < MOST_PANELS:
        panels.append(_reward_bars(engine.last_episodes[row], moment, scene.noun))
    return scene._replace(title=f"{scene.title}   |   {_progress(engine, row, moment, scene.raster)}", panels=panels)


def _progress(engine: Engine, row: int, moment: Moment, raster: Raster) -> str:
    if raster.first:
        spikes = int(engine.recorder.spikes(torch.tensor([row], device=engine.device))[raster.population])
    else:
        spikes = int(raster.spikes.sum())
    return (
        f"step {moment.steps}/{engine.num_steps}   |   {_count(spikes, f'{raster.population} spike')}   |   "
        f"{_count(int(engine.num_events[row]), 'event')}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _reward_bars(last: LastEpisode | None, moment: Moment, noun: str) -> Bars:
    if last is None:
        return Bars("last reward", {}, f"no {noun} finished yet")
    number = moment.number - (not moment.finished)
    return Bars(f"reward of {noun} {number}", bars_of(last), accent="reward", notes={STABILITY: "first presentation"})


def bars_of(last: LastEpisode) -> dict[str, float]:
    """Return the values of the reward panel: the first terms of a reward, then the reward."""
    return {**dict(list(last.terms.items())[:_MOST_TERMS]), "reward": last.reward}


def render_frame(engine: Engine, row: int) -> NDArray[np.uint8]:
    """Draw lifetime `row` at its present moment, uint8 (520, 900, 3); nothing is changed.

    Above: the panels of its task's `Scene`, and the terms of the last reward where there is room. Below: the spikes of
    the answering population over the last steps of the episode, those highlighted by the task in orange.

    Raises:
        RuntimeError: No episode has begun.
    """
    # Here, since importing environments should not import matplotlib. No pyplot: it keeps figures and picks a backend.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scene = scene_of(engine, row)
    figure = Figure(figsize=(WIDTH / _DPI, HEIGHT / _DPI), dpi=_DPI, facecolor="white")
    figure.set_layout_engine("none")
    canvas = FigureCanvasAgg(figure)
    title = figure.text(0.5, 0.955, scene.title, ha="center", va="center", color=_DARK)
    for size in _TITLE_SIZES:
        title.set_fontsize(size)
        if title.get_window_extent(canvas.get_renderer()).width < WIDTH - 20:
            break
    left = 30
    for panel in scene.panels:
        left = _draw_bars(figure, panel, left) if isinstance(panel, Bars) else _draw_panel(figure, panel, left)
    _draw_raster(figure, scene.raster, engine.config.dt)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Return axes at a position in pixels from the upper left corner."""
    axes = figure.add_axes((left / WIDTH, 1 - (top + height) / HEIGHT, width / WIDTH, height / HEIGHT))
    axes.tick_params(labelsize=_SMALL, colors=_DARK, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return axes


def _draw_panel(figure: Figure, panel: Panel, left: int) -> int:
    """Draw a panel; return the start of the next one, in pixels."""
    pixels = panel.pixels
    width = _SIDE
    if pixels is not None and pixels.ndim == 3:
        width = round(min(max(_SIDE, _SIDE * pixels.shape[1] / pixels.shape[0]), _WIDEST))
    axes = _axes(figure, left, _TOP, width, _SIDE)
    axes.set_title(panel.title, fontsize=_NORMAL, color=_DARK)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, color=_QUIET)
    if pixels is None:
        _write_centred(axes, panel.caption)
    elif pixels.ndim == 3:
        axes.imshow(pixels)
        axes.set_anchor("N")  # its title is level with the others
    elif panel.limits is None:
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    else:
        low, high = panel.limits
        image = axes.imshow(pixels, cmap="cividis", vmin=low, vmax=high, interpolation="nearest")
        if not panel.square:
            axes.set_aspect("auto")
        _color_bar(figure, left + width + 6, image, (low, high))
    if pixels is not None:
        axes.set_xlabel(panel.caption, fontsize=_SMALL, color=_QUIET)
    return left + width + (72 if pixels is None or panel.limits is not None else 40)


def _color_bar(figure: Figure, left: float, image: ScalarMappable, ends: tuple[float, float]) -> None:
    bar = figure.colorbar(image, cax=_axes(figure, left, _TOP, 8, _SIDE), ticks=list(ends))
    bar.set_ticklabels([f"{end:.3g}" for end in ends])
    bar.ax.tick_params(labelsize=_SMALL, length=2)
    bar.outline.set_edgecolor(_QUIET)


def _draw_bars(figure: Figure, bars: Bars, left: int) -> int:
    """Draw bars with their names to the left; return the start of the next panel, in pixels."""
    longest = max((len(name) for name in bars.values), default=4)
    start = left + (60 if longest > 3 else 36)
    axes = _axes(figure, start, _TOP, min(126, WIDTH - 62 - start), _SIDE)
    axes.set_title(bars.title, fontsize=_NORMAL, color=_DARK)
    if not bars.values:
        axes.set_axis_off()
        _write_centred(axes, bars.caption)
        return WIDTH
    finite = [value for value in bars.values.values() if math.isfinite(value)]
    low, high = bars.limits or (min(0.0, *finite), max(1.0, *finite))
    for place, (name, value) in enumerate(bars.values.items()):
        if math.isfinite(value):
            color = _ACCENT if name == bars.accent else _TERM_COLORS[place % len(_TERM_COLORS)]
            axes.barh(place, value, color=color, height=0.62)
            label = f"{value:.2f}" if value == 0 or 0.005 <= abs(value) < 1000 else f"{value:.0e}"
            label = f"{value:.0f}" if bars.counts else label
            axes.text(high + 0.05 * (high - low), place, label, va="center", fontsize=_SMALL, color=_DARK)
        else:
            axes.text(low, place, f" {bars.notes.get(name, 'no value')}", va="center", fontsize=_SMALL, color=_QUIET)
    axes.set_yticks(range(len(bars.values)), list(bars.values))
    axes.set_xticks((low, high), labels=[f"{end:.3g}" for end in (low, high)])
    if low < 0:
        axes.axvline(0.0, color=_QUIET, linewidth=0.8)
    axes.set_xlim(low, high)
    axes.set_ylim(len(bars.values) - 0.4, -0.6)
    axes.set_xlabel(bars.caption, fontsize=_SMALL, color=_QUIET)
    return WIDTH


def _draw_raster(figure: Figure, raster: Raster, dt: float) -> None:
    from matplotlib.ticker import MaxNLocator

    left, top, width, height = 70, 298, 808, 174  # pixels
    axes = _axes(figure, left, top, width, height)
    num_steps, num_neurons = raster.spikes.shape
    start = raster.first + 0.5
    axes.axvspan(start + raster.steps, start + num_steps, color="#eeeeee", linewidth=0)
    for boundary in raster.boundaries:
        axes.axvline(boundary + 0.5, color="#c8c8c8", linewidth=0.8, zorder=0.5)
    cell = min(width / num_steps, height / num_neurons)  # pixels
    size = float(np.clip(0.8 * cell, 3.0, 9.0)) * 72 / _DPI  # points
    step, neuron = raster.spikes.nonzero()
    accent = np.zeros(len(step), dtype=bool) if raster.accent is None else raster.accent[step, neuron]
    for some, color, scale in ((~accent, _DARK, 1.0), (accent, _ACCENT, 1.6)):
        axes.plot(
            step[some] + raster.first + 1,
            neuron[some],
            "s",
            markersize=scale * size,
            color=color,
            markeredgewidth=0,
            clip_on=False,
        )
    if not len(step):
        _write_centred(axes, "no spike yet")
    elif raster.caption:
        axes.text(
            1.0,
            1.03,
            raster.caption,
            transform=axes.transAxes,
            ha="right",
            va="bottom",
            fontsize=_NORMAL,
            color=_ACCENT,
        )
    axes.set_title(f"spikes of the {raster.population} neurons", loc="left", fontsize=_NORMAL, color=_DARK)
    axes.set_xlim(start, start + num_steps)
    axes.set_ylim(-0.5, num_neurons - 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(10, steps=(1, 2, 5, 10), integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10), integer=True, min_n_ticks=1))
    axes.set_xlabel(f"time step of {dt:g} ms", fontsize=_NORMAL, color=_DARK)
    axes.set_ylabel("neuron", fontsize=_NORMAL, color=_DARK)


def _write_centred(axes: Axes, text: str) -> None:
    """Write in the middle of otherwise empty axes."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=_NORMAL, color=_QUIET)
