"""What rules teach a classifier: `python trainers/evaluate.py --help`.

Every rule gets the same fresh networks, training images and input spikes. The networks learn by the frozen rule, then
are tested with frozen weights and without third factor on images that they have not seen.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from snn_plasticity_gym.config.cli import parse_configs
from snn_plasticity_gym.config.environments import GradConfig, SemiConfig
from snn_plasticity_gym.config.evaluate import EvaluateConfig
from snn_plasticity_gym.config.training import A2CConfig, PPOConfig
from snn_plasticity_gym.trainers.program import run_program


def evaluate(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Evaluate as the flags say; print the result and return it, by rule."""
    environments = {"SNNPlastic-Semi-v0": SemiConfig, "SNNPlastic-Grad-v0": GradConfig}
    config, env_config = parse_configs(EvaluateConfig, environments, argv, foreign=(A2CConfig, PPOConfig))

    # Seconds of imports, and a wrong flag needs none of them.
    from snn_plasticity_gym.trainers.evaluation_session import run_evaluation

    return run_evaluation(config, env_config)


def main() -> int:
    """Run the program."""
    return run_program(evaluate)


if __name__ == "__main__":
    sys.exit(main())
