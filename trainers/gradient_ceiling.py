"""How much of the gradient a synapse can know: `python trainers/gradient_ceiling.py --help`.

A rule in `SNNPlastic-Grad-v0` sees a synapse's local state and is rewarded for following the gradient. What it cannot
see, no reward can teach it. So the same network is trained here with supervision to predict -g itself from the same
local states; the cosine of its predictions with -g on held-out images is the ceiling for every learned rule. With
`--rules` rules are measured on the same networks and images.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from snn_plasticity_gym.config.ceiling import CeilingConfig
from snn_plasticity_gym.config.cli import parse_configs
from snn_plasticity_gym.config.environments import GradConfig
from snn_plasticity_gym.trainers.program import run_program


def measure(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure as the flags say; print and return the cosine and sign agreement of each layer, and those of rules."""
    config, env_config = parse_configs(CeilingConfig, {"SNNPlastic-Grad-v0": GradConfig}, argv)

    # Seconds of imports, and a wrong flag needs none of them.
    import json

    from snn_plasticity_gym.evaluation.gradient_ceiling import follows_gradient, gradient_ceiling
    from snn_plasticity_gym.trainers.evaluation_session import rule_of

    rules = {
        name: rule_of(name, config.env, env_config, config.seed) for name in config.rules
    }  # a wrong name ends here
    ceiling = gradient_ceiling(config, env_config)
    print(f"{'layer':>6}{'cosine':>10}{'sign agreement':>16}")
    for layer, (cosine, agreement) in enumerate(zip(ceiling["cosine"], ceiling["sign_agreement"], strict=True), 1):
        print(f"{layer:6d}{cosine:10.4f}{agreement:16.4f}")
    if rules:
        ceiling["rules"] = {name: follows_gradient(rule, config, env_config) for name, rule in rules.items()}
        for name, found in ceiling["rules"].items():
            print(f"\n{name}\n{'layer':>6}{'cosine':>10}{'sign agreement':>16}{'cosine / ceiling':>18}")
            for layer, row in enumerate(
                zip(found["cosine"], found["sign_agreement"], ceiling["cosine"], strict=True), 1
            ):
                cosine, agreement, most = row
                print(f"{layer:6d}{cosine:10.4f}{agreement:16.4f}{cosine / most:18.1%}")
    print(json.dumps(ceiling))
    return ceiling


def main() -> int:
    """Run the program."""
    return run_program(measure)


if __name__ == "__main__":
    sys.exit(main())
