"""Evolve the weights of a network that acts in an environment: `python trainers/evolve.py --help`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from snn_plasticity_gym.config.cli import parse_configs
from snn_plasticity_gym.config.control import ControlConfig
from snn_plasticity_gym.config.environments import ENVIRONMENTS
from snn_plasticity_gym.config.evaluate import EvaluateConfig
from snn_plasticity_gym.config.evolve import EvolveConfig
from snn_plasticity_gym.config.training import TRAINERS
from snn_plasticity_gym.trainers.sessions.program import run_program


def evolve(argv: Sequence[str] | None = None) -> Path:
    """Run an evolution of weights, and return the run's folder."""
    worlds = {name: kind for name, kind in ENVIRONMENTS.items() if issubclass(kind, ControlConfig)}
    config, env_config = parse_configs(EvolveConfig, worlds, argv, foreign=(EvaluateConfig, *TRAINERS))

    # Imported late: these take seconds, and a wrong flag is reported before.
    from snn_plasticity_gym.trainers.sessions.evolve_session import run_evolution

    return run_evolution(config, env_config)


def main() -> int:
    """Run the program."""
    return run_program(evolve, spreads=True)


if __name__ == "__main__":
    sys.exit(main())
