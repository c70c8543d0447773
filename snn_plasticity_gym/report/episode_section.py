"""Report section on one network that learns by a rule in any task."""

from __future__ import annotations

import numpy as np

from snn_plasticity_gym.evaluation.episode_life import PART, EpisodeLife
from snn_plasticity_gym.report.episode_figures import episode_pictures
from snn_plasticity_gym.report.network_figures import display_name
from snn_plasticity_gym.report.page import Section
from snn_plasticity_gym.report.style import number
from snn_plasticity_gym.runs.tables import Table


def episode_section(life: EpisodeLife, prefix: str) -> Section:
    """Return the section on a network that learned by a rule, from its first episode to its last.

    Args:
        life: The network's record.
        prefix: Of the names of pictures and tables.
    """
    rows = [[name, *map(number, ends)] for name, ends in life.facts.items()]
    for projection in life.weights[0]:
        for what, measure in (("mean weight", np.nanmean), ("spread of weights", np.nanstd)):
            ends = [float(measure(snapshot[projection])) for snapshot in (life.weights[0], life.weights[-1])]
            rows.append([f"{what}, {display_name(projection)}", *map(number, ends)])
    count = len(life.returns)
    part = max(1, count // PART)
    title = f"{part} episodes" if part > 1 else "episode"
    table = Table(
        f"{prefix}network",
        ["of the network", f"first {title}", f"last {title}"],
        rows,
        "Means over episodes in which the network learns; weights are those before the first and after the last one.",
    )
    text = (
        f"One fresh network that learns by the frozen rule in {count} episodes, without being renewed. "
        "It is one network; trainers/evaluate.py estimates means."
    )
    return Section("Effect on a network", text, episode_pictures(life, prefix), [table])
