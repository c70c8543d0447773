"""The part of a report that shows what a rule does to a network."""

from __future__ import annotations

from collections.abc import Callable

from snn_plasticity_gym.config.environments import EnvironmentConfig, UnsupervisedConfig
from snn_plasticity_gym.evaluation.network_life import Life, Portrait
from snn_plasticity_gym.report.network_figures import network_pictures
from snn_plasticity_gym.report.page import Section
from snn_plasticity_gym.runs.tables import Table

ROWS: dict[str, Callable[[Portrait], float]] = {
    "accuracy (%)": lambda portrait: 100 * portrait.accuracy,
    "spikes for an image": lambda portrait: portrait.activity["spikes"],
    "neurons active for an image (%)": lambda portrait: 100 * portrait.activity["active"],
    "entropy of winners (1: all win alike)": lambda portrait: portrait.activity["winner_entropy"],
    "neurons that never fire": lambda portrait: portrait.activity["dead"],
    "cosine of answers to one image": lambda portrait: portrait.same_image,
    "cosine of answers to different images": lambda portrait: portrait.other_images,
}


def network_section(life: Life, config: EnvironmentConfig, prefix: str) -> Section:
    """Show a network before and after it lived by a rule.

    Args:
        life: The network's.
        config: Settings of its environment.
        prefix: Of the names of pictures and tables.
    """
    rows = [[name, *(f"{value(moment):.3g}" for moment in (life.before, life.after))] for name, value in ROWS.items()]
    table = Table(
        f"{prefix}network",
        ["answering neurons, held-out images", "before", "after"],
        rows,
        "Weights and thresholds frozen, no third factor.",
    )
    text = (
        f"One fresh network that learns from {life.ages[-1]} images of the training split by the rule as it is, "
        "without being renewed on the way. It is one network; trainers/evaluate.py estimates means."
    )
    pictures = network_pictures(life, isinstance(config, UnsupervisedConfig), prefix)
    return Section("What it does to a network", text, pictures, [table])
