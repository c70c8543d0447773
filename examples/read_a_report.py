"""Read the results of a report, of your run or of a small one made here.

    python examples/read_a_report.py [runs/SNNPlastic-Semi-v0/NAME]

report.html is for people; next to it are the figures as PNGs (report/), the numbers (metrics.csv), and the formula that
explains the rule (distilled.json), which `trainers/evaluate.py --rules distilled:RUN` takes as a rule.
"""

import sys
import tempfile
from pathlib import Path

from snn_plasticity_gym.report.runs import outcome_rows, read_runs
from snn_plasticity_gym.rules.distilled import load_distilled, written_out
from snn_plasticity_gym.trainers.report import report
from snn_plasticity_gym.trainers.train_a2c import train

SMALL = ["--preset=semi", "--dataset=digits", "--episodes=128", "--eval_episodes=32", "--seed=0", "--wandb=disabled"]


def main(folder: str | None = None) -> Path:
    """Report on a run, print the results in its folder, and return the page."""
    if folder is None:
        root = tempfile.mkdtemp(prefix="snn-plasticity-")
        folder = str(train([*SMALL, "--no-progress", "--no-report", f"--run_dir={root}"]))
    page = report([folder, "--life_images=20"])
    (run,) = read_runs([folder])
    for name, before, after in outcome_rows(run):
        print(f"{name:20} {before:10.4g} before {after:10.4g} after")
    images, rewards = run.curve("rollout/reward")
    print(f"reward while learning: {rewards[0]:.3f} at first, {rewards[-1]:.3f} after {images[-1]:.0f} images")
    for head, terms in enumerate(load_distilled(folder).heads):
        print(f"head {head}: delta_d = {written_out(terms)}")
    print(f"open {page}")
    return page


if __name__ == "__main__":
    main(*sys.argv[1:2])
