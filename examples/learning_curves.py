"""Draw learning curves of training runs: mean return and one standard deviation over the seeds of each kind of run.

    python examples/learning_curves.py curves.png A2C=runs/SNNPlastic-Unsup1-v0/a,runs/SNNPlastic-Unsup1-v0/b ES=...

The return is that of the rules explored in a rollout, so perturbed ones.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def returns_of(run: Path) -> np.ndarray:
    """Read the mean return of every update of a run, (updates,)."""
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["train/n_updates"]: row["train/return"] for row in csv.DictReader(file) if row["train/return"]}
    return np.array([float(value) for value in rows.values()])


def main(picture: str, *kinds: str) -> dict[str, np.ndarray]:
    """Draw the runs of each kind, given as NAME=RUN,RUN,...; return their curves, (runs, updates) each."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    curves = {}
    for kind in kinds:
        name, _, runs = kind.partition("=")
        returns = [returns_of(Path(run)) for run in runs.split(",")]
        shortest = min(map(len, returns))
        curves[name] = np.stack([values[:shortest] for values in returns])  # (runs, updates)
        updates, mean, spread = np.arange(1, shortest + 1), curves[name].mean(axis=0), curves[name].std(axis=0)
        (line,) = axes.plot(updates, mean, label=f"{name}, {len(returns)} seed{'s' * (len(returns) > 1)}")
        axes.fill_between(updates, mean - spread, mean + spread, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set_xlabel("updates")
    axes.set_ylabel("return of the rules tried")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(picture, dpi=120)
    return curves


if __name__ == "__main__":
    main(*sys.argv[1:])
