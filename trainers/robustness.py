"""Disturb networks of train_svpg: `python trainers/robustness.py RUN [RUN ...] --out FOLDER`; `--help` lists settings.

Every level of every disturbance of weights, inputs or body is sampled several times for every network. Runs that
differ only in their seeds are one group; the table has each group's score, and the first group's difference to others.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

from snn_plasticity_gym.config.cli import parse_config
from snn_plasticity_gym.config.robustness import RobustnessConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.trainers.sessions.program import run_program, split_positional


def measure(argv: Sequence[str] | None = None) -> Any:
    """Run the measurement; print the table, and return all values by group, disturbance and level."""
    first, rest = split_positional(argv)
    config = parse_config(RobustnessConfig, rest)
    config = dataclasses.replace(config, runs=(*first, *config.runs))
    if not config.runs:
        raise ConfigError("no run was given; give the folder of at least one, e.g. runs/SVPG/NAME")

    # Imported late: these take seconds, and a wrong flag is reported before.
    from snn_plasticity_gym.trainers.sessions.robustness_session import run_robustness

    return run_robustness(config)


def main() -> int:
    """Run the program."""
    return run_program(measure)


if __name__ == "__main__":
    sys.exit(main())
