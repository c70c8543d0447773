"""Evaluate plasticity rules: `python trainers/evaluate.py --help`.

Every rule gets the same fresh networks, episodes and input spikes. The networks learn by the frozen rule, then are
tested with frozen weights in fresh episodes, or on held-out images. The task determines the measure: the
return, the accuracy of a classifier (without third factor), or the accuracy of neurons that are labelled first, from
training images that they have not learned from.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from snn_plasticity_gym.config.cli import parse_configs
from snn_plasticity_gym.config.environments import ENVIRONMENTS
from snn_plasticity_gym.config.evaluate import EvaluateConfig
from snn_plasticity_gym.config.evolve import EvolveConfig
from snn_plasticity_gym.config.training import TRAINERS
from snn_plasticity_gym.trainers.sessions.program import run_program


def evaluate(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run an evaluation; print the result and return it, by rule."""
    config, env_config = parse_configs(EvaluateConfig, ENVIRONMENTS, argv, foreign=(*TRAINERS, EvolveConfig))

    # Imported late: these take seconds, and a wrong flag is reported before.
    from snn_plasticity_gym.utils.distributed import joined_processes

    with joined_processes(env_config.device) as world:
        from snn_plasticity_gym.trainers.sessions.judges import run_judge

        return run_judge(config, env_config, world)


def main() -> int:
    """Run the program."""
    return run_program(evaluate, spreads=True)


if __name__ == "__main__":
    sys.exit(main())
