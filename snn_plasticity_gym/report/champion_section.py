"""Report section on a network with evolved weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file
from torch import Tensor

from snn_plasticity_gym.config.control import ControlConfig
from snn_plasticity_gym.evaluation.episode_life import record_episodes
from snn_plasticity_gym.evaluation.response_map import ResponseMap, response_map
from snn_plasticity_gym.evaluation.task_facts import temporary_task
from snn_plasticity_gym.networks.given_weights import WEIGHTS
from snn_plasticity_gym.networks.recurrent import INPUT
from snn_plasticity_gym.report.episode_figures import draw_episodes, draw_last_episode
from snn_plasticity_gym.report.network_figures import display_name
from snn_plasticity_gym.report.page import Section
from snn_plasticity_gym.report.runs import Run
from snn_plasticity_gym.report.style import DIVERGING, SEQUENTIAL, Picture, color_bar, figure_of, number, set_labels
from snn_plasticity_gym.rules.constant import ZeroRule
from snn_plasticity_gym.runs.tables import Table
from snn_plasticity_gym.tasks.control import ControlTask

FAME, RESULT = "hall_of_fame.json", "result.json"
MOST_FAMOUS = 5
FIELDS_IN_A_ROW = 4  # receptive fields of an observation
TEXT = (
    "The champion is the centre of the search with the highest test fitness. Its weights are fixed: each episode below "
    "starts from the same network."
)


def has_champion(run: Run) -> bool:
    """Whether a run is a finished evolution of weights."""
    return (run.path / WEIGHTS).is_file() and (run.path / RESULT).is_file()


def champion_section(run: Run, episodes: int, seed: int, prefix: str) -> Section:
    """Return the section on the champion of a run.

    Args:
        run: One that `has_champion`.
        episodes: Episodes to run.
        seed: Of these.
        prefix: Of the names of pictures and tables.
    """
    config = run.environment()
    assert isinstance(config, ControlConfig) and run.env is not None
    weights = load_file(run.path / WEIGHTS)
    result = json.loads((run.path / RESULT).read_text(encoding="utf-8"))
    frozen = type(config)(**(vars(config) | config.frozen()))
    life = record_episodes(ZeroRule(), run.env, frozen, episodes, seed, weights)
    pictures = [
        draw_episodes(f"{prefix}champion_episodes", life)._replace(
            caption="The champion, one dot an episode from a new start; its weights are fixed."
        ),
        draw_last_episode(f"{prefix}champion_raster", life),
    ]
    with temporary_task(run.env, frozen) as task:
        assert isinstance(task, ControlTask)
        fields = _fields(f"{prefix}champion_fields", task, weights)
        mapped = response_map(task, weights)
        if fields is not None:
            pictures.append(fields)
        if mapped is not None:
            pictures.append(_map(f"{prefix}champion_map", mapped, task))
    return Section(
        "The champion", TEXT, pictures, [_test_fitness(f"{prefix}champion", result), _fame(run.path, prefix)]
    )


def _test_fitness(name: str, result: Mapping[str, Any]) -> Table:
    rows = [[key.replace("_", " "), number(value)] for key, value in result["last_test"].items()]
    rows += [["found after generation", str(result["champion"]["generation"])]]
    return Table(name, ["in test episodes, not used for selection", "mean"], rows)


def _fame(folder: Path, prefix: str) -> Table:
    famous = json.loads((folder / FAME).read_text(encoding="utf-8"))[:MOST_FAMOUS]
    rows = [[str(one["generation"]), str(one["start"]), number(one["fitness"])] for one in famous]
    caption = "Hall of fame: the fittest individuals, the generation (from 0) and the seed of the episodes they had."
    return Table(f"{prefix}fame", ["generation", "start", "fitness"], rows, caption)


def _fields(name: str, task: ControlTask, weights: Mapping[str, Tensor]) -> Picture | None:
    """Draw the weights of each observation's neurons; None: these are not contiguous."""
    observations = task.observations.shape[1]
    projection = next(p for p in task.projections if p.source == INPUT)
    if projection.name not in weights or task.encoder.size % observations:
        return None
    matrix = weights[projection.name].numpy()
    parts = np.split(matrix, observations)  # (fields, n_post) each
    most = float(np.abs(matrix).max()) or 1.0
    columns = min(observations, FIELDS_IN_A_ROW)
    rows = -(-observations // columns)
    height = 3.2 if rows == 1 else 2.2 * rows
    figure, axes = figure_of(3.0 * columns + 0.8, height, rows, columns)
    for place, (one, part) in enumerate(zip(axes, parts, strict=False)):
        drawn = one.imshow(part, cmap=DIVERGING, vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
        lowest, first = place + columns >= observations, place % columns == 0
        below = f"neuron of {display_name(projection.target)}" if lowest else ""
        set_labels(one, f"observation {place}", below, "receptive field" if first else "")
    for one in axes[observations:]:
        one.set_visible(False)
    color_bar(drawn, axes, "weight")
    return Picture(name, figure, "Weights from the receptive fields of each observation, low values at the top.")


def _map(name: str, mapped: ResponseMap, task: ControlTask) -> Picture:
    """Draw the spikes of each action's neurons over the states of the environment."""
    groups = task.answer_groups()
    figure, axes = figure_of(3.1 * len(groups) + 0.8, 3.0, 1, len(groups))
    counts = [mapped.spikes[:, :, neurons.numpy()].sum(axis=2) for neurons in groups.values()]  # (G, G) each
    most = max(int(count.max()) for count in counts) or 1
    ends = (mapped.first[0], mapped.first[-1], mapped.second[0], mapped.second[-1])
    for one, label, count in zip(axes, groups, counts, strict=True):
        drawn = one.imshow(count.T, origin="lower", extent=ends, aspect="auto", cmap=SEQUENTIAL, vmin=0, vmax=most)
        set_labels(one, label, "observation 0", "observation 1" if one is axes[0] else "")
    color_bar(drawn, axes, "spikes in an action's window")
    return Picture(name, figure, "Spikes of each action's motor neurons in every state, from rest.")
