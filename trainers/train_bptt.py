"""Train a spiking network with BPTT, the baseline of the Grad task: `python trainers/train_bptt.py --help`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from snn_plasticity_gym.config.bptt import BPTTConfig
from snn_plasticity_gym.config.cli import parse_config
from snn_plasticity_gym.trainers.sessions.program import run_program


def train(argv: Sequence[str] | None = None) -> Path:
    """Train as the flags say, and return the run's folder."""
    config = parse_config(BPTTConfig, argv)

    # Seconds of imports, and a wrong flag needs none of them.
    from snn_plasticity_gym.trainers.sessions.bptt_session import run_bptt

    return run_bptt(config)


def main() -> int:
    """Run the program."""
    return run_program(train)


if __name__ == "__main__":
    sys.exit(main())
