"""Measure how much of the gradient local information determines: `python trainers/gradient_ceiling.py --help`.

A rule in `SNNPlastic-Grad-v0` observes a synapse's local state and is rewarded for following the gradient, which that
state determines only in part. So the same network is trained here with supervision to predict -g from the same local
states; the cosine of its predictions with -g on held-out images is the ceiling for every learned rule. With
`--rules` rules are measured on the same networks and images.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from snn_plasticity_gym.config.ceiling import CeilingConfig
from snn_plasticity_gym.config.cli import parse_configs
from snn_plasticity_gym.config.environments import GradConfig
from snn_plasticity_gym.trainers.sessions.program import run_program


def measure(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the measurement; print and return the cosine and sign agreement of each layer, and those of rules."""
    config, env_config = parse_configs(CeilingConfig, {"SNNPlastic-Grad-v0": GradConfig}, argv)

    # Imported late: these take seconds, and a wrong flag is reported before.
    import json

    from snn_plasticity_gym.evaluation.gradient_ceiling import follows_gradient, gradient_ceiling
    from snn_plasticity_gym.trainers.sessions.evaluation_session import rules_of

    rules = rules_of(config.rules, config.env, env_config, config.seed)
    ceiling = gradient_ceiling(config, env_config)
    print(_table(ceiling))
    if rules:
        ceiling["rules"] = {name: follows_gradient(rule, config, env_config) for name, rule in rules.items()}
        for name, found in ceiling["rules"].items():
            print(f"\n{name}\n{_table(found, ceiling['cosine'])}")
    print(json.dumps(ceiling))
    return ceiling


def _table(found: dict[str, Any], most: Sequence[float] | None = None) -> str:
    """Return a line for each layer, with its share of the ceiling's cosines `most`."""
    lines = [
        f"{'layer':>6}{'cosine':>10}{'sign agreement':>16}" + ("" if most is None else f"{'cosine / ceiling':>18}")
    ]
    for place, (cosine, agreement) in enumerate(zip(found["cosine"], found["sign_agreement"], strict=True)):
        share = "" if most is None else f"{cosine / most[place]:18.1%}"
        lines.append(f"{place + 1:6d}{cosine:10.4f}{agreement:16.4f}{share}")
    return "\n".join(lines)


def main() -> int:
    """Run the program."""
    return run_program(measure)


if __name__ == "__main__":
    sys.exit(main())
