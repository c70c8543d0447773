"""Search for a rule of winner-take-all networks, over short trainings: `python trainers/search_svpg.py --help`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from snn_plasticity_gym.config.cli import parse_config
from snn_plasticity_gym.config.svpg_search import SVPGSearchConfig
from snn_plasticity_gym.trainers.sessions.program import run_program


def train(argv: Sequence[str] | None = None) -> Path:
    """Run a search, and return the run's folder."""
    config = parse_config(SVPGSearchConfig, argv)

    # Imported late: these take seconds, and a wrong flag is reported before.
    from snn_plasticity_gym.trainers.sessions.svpg_search import run_search

    return run_search(config)


def main() -> int:
    """Run the program."""
    return run_program(train)


if __name__ == "__main__":
    sys.exit(main())
