"""Adaptation to a changed world, in the middle of a lifetime or of each episode: plastic and frozen networks compared.

    python examples/changed_world.py --change flipped       forces reversed
    python examples/changed_world.py --change longer        a pole of twice the length
    python examples/changed_world.py --change deaf          a quarter of the hidden neurons without input
    python examples/changed_world.py --within 50            after 50 actions of each episode, and not between two
    python examples/changed_world.py --preset cartpole-learned --rule RUN      by the rule of a run

Networks, by default of the preset `cartpole-credited`, learn to balance a pole for some episodes. Then each continues
twice from the same state, in the same episodes: once with plasticity, once with frozen weights.
"""

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.config.cli import parse_configs
from snn_plasticity_gym.config.environments import ENVIRONMENTS
from snn_plasticity_gym.config.evaluate import EvaluateConfig
from snn_plasticity_gym.config.schema import ConfigError, to_dict
from snn_plasticity_gym.config.training import TRAINERS
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.rules.registry import make_rule
from snn_plasticity_gym.trainers.sessions.evaluation_session import rule_of

WORLDS = {  # settings of each change
    "flipped": {"flipped": True},
    "longer": {"world_attributes": {"length": 1.0, "polemass_length": 0.1}},
    "deaf": {"deaf": 0.25},  # share of the hidden neurons
}

Steps = NDArray[np.float32]


def lengths(env: PlasticityVectorEnv, rule: Rule, episodes: int) -> Steps:
    """Run episodes of all networks; return their lengths, (episodes, networks)."""
    return np.array([env.run_episode(rule).info["num_actions"].numpy() for _ in range(episodes)], dtype=np.float32)


def main(
    change: str = "flipped", within: int = 0, preset: str = "cartpole-credited", rule: str = "", episodes: int = 400,
    networks: int = 8, seed: int = 0, settings: Sequence[str] = (),
) -> dict[str, Steps]:  # fmt: skip
    """Print the lengths of episodes before and after the change; return them, (episodes, networks) each.

    Args:
        change: One of `WORLDS`.
        within: Actions of each episode from then on after which it comes; 0: once, between two episodes.
        preset: Of the networks.
        rule: As in evaluate.py; if empty the last one of the preset.
        episodes: Before the change, and as many after it.
        networks: Number in parallel.
        seed: Of networks and episodes.
        settings: Further flags of evaluate.py.
    """
    if within and change == "longer":
        raise ConfigError("a pole does not grow within an episode; set change to flipped or deaf, or leave within out")
    config, own = parse_configs(EvaluateConfig, ENVIRONMENTS, [f"--preset={preset}", *settings], foreign=TRAINERS)
    learning_rule = rule_of(rule or config.rules[-1], config.env, own, seed)

    whole_lifetime = {"lifetime_length": 0, "plastic_episodes": 0}  # overrides the preset

    def world(**changes: object) -> PlasticityVectorEnv:
        return PlasticityVectorEnv(config.env, num_envs=networks, **{**to_dict(own), **whole_lifetime, **changes})

    before = world()
    before.reset(seed=seed)
    steps = {"before": lengths(before, learning_rule, episodes)}
    for name, continued_rule in (("plastic", learning_rule), ("frozen", make_rule("zero"))):
        after = world(**WORLDS[change], **({"change_after": within} if within else {}))
        after.reset(seed=seed)
        after.load_state_dict(before.state_dict())
        steps[name] = lengths(after, continued_rule, episodes)
    tenth = max(episodes // 10, 1)
    print(f"steps of an episode, mean and standard deviation of {networks} networks")
    print(f"  the last {tenth} before    {mean_and_sd(steps['before'][-tenth:])}")
    for first in range(0, episodes, max(episodes // 4, 1)):
        block = slice(first, first + tenth)
        parts = ", ".join(f"{name} {mean_and_sd(steps[name][block])}" for name in ("plastic", "frozen"))
        print(f"  {first + 1} to {min(first + tenth, episodes)} after it    {parts}")
    ends = ", ".join(f"{name} {mean_and_sd(steps[name][-tenth:])}" for name in ("plastic", "frozen"))
    print(f"  the last {tenth}           {ends}")
    if within:
        print(f"of the last {tenth}, those that last so long, and their actions after the change, mean of all")
        for name in ("plastic", "frozen"):
            last = steps[name][-tenth:]  # (episodes, networks)
            print(f"  {name} {(last > within).mean():.0%}, {np.mean(last[last > within] - within):.0f}")
    return steps


def mean_and_sd(lengths: Steps) -> str:
    means = lengths.mean(axis=0)  # (networks,)
    return f"{means.mean():.0f}" + (f" ± {means.std(ddof=1):.0f}" if len(means) > 1 else "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A world that changes in the middle of a lifetime.")
    parser.add_argument("--change", default="flipped", choices=WORLDS, help="what changes (%(default)s)")
    parser.add_argument("--within", type=int, default=0, help="actions of an episode before it; 0: between episodes")
    parser.add_argument("--preset", default="cartpole-credited", help="of the networks (%(default)s)")
    parser.add_argument("--rule", default="", help="as in evaluate.py; if empty the last one of the preset")
    parser.add_argument("--episodes", type=int, default=400, help="before the change and after it (%(default)s)")
    parser.add_argument("--networks", type=int, default=8, help="in parallel (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of networks and episodes (%(default)s)")
    arguments, flags = parser.parse_known_args()
    try:
        main(**vars(arguments), settings=flags)
    except ConfigError as error:
        parser.error(str(error))
