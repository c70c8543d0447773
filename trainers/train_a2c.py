"""Train a plasticity rule with A2C: `python trainers/train_a2c.py --help`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from snn_plasticity_gym.config.cli import parse_configs
from snn_plasticity_gym.config.environments import ENVIRONMENTS
from snn_plasticity_gym.config.training import A2CConfig
from snn_plasticity_gym.trainers.program import run_program

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

    from snn_plasticity_gym.agents.a2c import EventA2C


def train(argv: Sequence[str] | None = None) -> Path:
    """Train as the flags say, and return the run's folder."""
    config, env_config = parse_configs(A2CConfig, ENVIRONMENTS, argv)

    # Seconds of imports, and a wrong flag needs none of them.
    from snn_plasticity_gym.agents.a2c import EventA2C
    from snn_plasticity_gym.trainers.session import run_training

    def make_model(env: VecEnv, seed: int) -> EventA2C:
        return EventA2C(
            "PlasticityPolicy",
            env,
            learning_rate=config.learning_rate,
            n_steps=config.images_per_update,
            gamma=config.gamma,
            events_per_image=config.events_per_image,
            normalize_advantage=config.normalize_advantage,
            ent_coef=config.ent_coef,
            vf_coef=config.vf_coef,
            max_grad_norm=config.max_grad_norm,
            seed=seed,
            device=env_config.device,
            policy_kwargs={
                "sigma": config.sigma,
                "use_kind": env_config.event_kinds == "feature",
                "critic_lr_scale": config.critic_learning_rate / config.learning_rate,
            },
        )

    return run_training(config, env_config, make_model)


def main() -> int:
    """Run the program."""
    return run_program(train)


if __name__ == "__main__":
    sys.exit(main())
