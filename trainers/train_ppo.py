"""Train a plasticity rule with PPO: `python trainers/train_ppo.py --help`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from snn_plasticity_gym.config.cli import parse_configs
from snn_plasticity_gym.config.environments import ENVIRONMENTS
from snn_plasticity_gym.config.evaluate import EvaluateConfig
from snn_plasticity_gym.config.training import PPOConfig
from snn_plasticity_gym.trainers.sessions.program import run_program


def train(argv: Sequence[str] | None = None) -> Path:
    """Train as the flags say, and return the run's folder."""
    config, env_config = parse_configs(PPOConfig, ENVIRONMENTS, argv, foreign=(EvaluateConfig,))

    # Seconds of imports, and a wrong flag needs none of them.
    from snn_plasticity_gym.learners.ppo import EventPPO
    from snn_plasticity_gym.trainers.sessions.training_session import run_training

    return run_training(config, env_config, EventPPO)


def main() -> int:
    """Run the program."""
    return run_program(train, spreads=True)


if __name__ == "__main__":
    sys.exit(main())
