"""Report section on one network that learns from images by a rule."""

from __future__ import annotations

from snn_plasticity_gym.evaluation.network_life import Life
from snn_plasticity_gym.report.network_figures import network_pictures
from snn_plasticity_gym.report.page import Section
from snn_plasticity_gym.runs.tables import Table


def network_section(life: Life, prefix: str) -> Section:
    """Return the section on a network tested on images before and after learning by a rule.

    Args:
        life: The network's record.
        prefix: Of the names of pictures and tables.
    """
    rows = [[name, *(f"{value:.3g}" for value in ends)] for name, ends in life.facts.items()]
    table = Table(
        f"{prefix}network",
        ["readout neurons, held-out images", "before", "after"],
        rows,
        "Weights and thresholds frozen, no third factor.",
    )
    text = (
        f"One fresh network that learns from {life.ages[-1]} images of the training split by the frozen rule, "
        "without being renewed. It is one network; trainers/evaluate.py estimates means."
    )
    pictures = network_pictures(life, prefix)
    return Section("Effect on a network", text, pictures, [table])
