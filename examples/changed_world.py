"""A world changes in the middle of a life, or of each episode: do networks that go on learning do better?

    python examples/changed_world.py --change flipped       forces act the other way
    python examples/changed_world.py --change longer        a pole of twice the length
    python examples/changed_world.py --change deaf          a quarter of the hidden neurons hears nothing any more
    python examples/changed_world.py --within 50            after 50 actions of each episode, and not between two
    python examples/changed_world.py --preset cartpole-learned --rule RUN      by the rule of a run

Networks, by default of the preset `cartpole-credited`, learn to balance a pole for some episodes. Then each goes on
twice from where it stands, in the same episodes: once by its rule, once with the weights that it has.
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

WORLDS = {  # what a change does
    "flipped": {"flipped": True},
    "longer": {"world_attributes": {"length": 1.0, "polemass_length": 0.1}},
    "deaf": {"deaf": 0.25},  # share of the hidden neurons
}

Steps = NDArray[np.float32]


def lengths(env: PlasticityVectorEnv, rule: Rule, episodes: int) -> Steps:
    """Let all networks live through episodes; return how long each was, (episodes, networks)."""
    return np.array([env.run_episode(rule).info["num_actions"].numpy() for _ in range(episodes)], dtype=np.float32)


def main(
    change: str = "flipped", within: int = 0, preset: str = "cartpole-credited", rule: str = "", episodes: int = 400,
    networks: int = 8, seed: int = 0, settings: Sequence[str] = (),
) -> dict[str, Steps]:  # fmt: skip
    """Print how long episodes are before the change and after it; return that, (episodes, networks) each.

    Args:
        change: One of `WORLDS`.
        within: Actions of each episode from then on after which it comes; 0: once, between two episodes.
        preset: Of the networks.
        rule: As in evaluate.py; if empty the last one of the preset.
        episodes: Before the change, and as many after it.
        networks: Side by side.
        seed: Of networks and episodes.
        settings: Further flags of evaluate.py.
    """
    if within and change == "longer":
        raise ConfigError("a pole does not grow within an episode; set change to flipped or deaf, or leave within out")
    config, own = parse_configs(EvaluateConfig, ENVIRONMENTS, [f"--preset={preset}", *settings], foreign=TRAINERS)
    lived_by = rule_of(rule or config.rules[-1], config.env, own, seed)

    whole_life = {"lifetime_length": 0, "plastic_episodes": 0}  # whatever the preset cuts short

    def world(**changes: object) -> PlasticityVectorEnv:
        return PlasticityVectorEnv(config.env, num_envs=networks, **{**to_dict(own), **whole_life, **changes})

    before = world()
    before.reset(seed=seed)
    told = {"before": lengths(before, lived_by, episodes)}
    for name, goes_on in (("plastic", lived_by), ("frozen", make_rule("zero"))):
        after = world(**WORLDS[change], **({"change_after": within} if within else {}))
        after.reset(seed=seed)
        after.load_state_dict(before.state_dict())
        told[name] = lengths(after, goes_on, episodes)
    tenth = max(episodes // 10, 1)
    print(f"steps of an episode, mean and standard deviation of {networks} networks")
    print(f"  the last {tenth} before    {_said(told['before'][-tenth:])}")
    for first in range(0, episodes, max(episodes // 4, 1)):
        block = slice(first, first + tenth)
        parts = ", ".join(f"{name} {_said(told[name][block])}" for name in ("plastic", "frozen"))
        print(f"  {first + 1} to {min(first + tenth, episodes)} after it    {parts}")
    print(f"  the last {tenth}           " + ", ".join(f"{n} {_said(told[n][-tenth:])}" for n in ("plastic", "frozen")))
    if within:
        print(f"of the last {tenth}, those that come so far, and their actions after the change, mean of all")
        for name in ("plastic", "frozen"):
            last = told[name][-tenth:]  # (episodes, networks)
            print(f"  {name} {(last > within).mean():.0%}, {np.mean(last[last > within] - within):.0f}")
    return told


def _said(steps: Steps) -> str:
    means = steps.mean(axis=0)  # (networks,)
    return f"{means.mean():.0f}" + (f" ± {means.std(ddof=1):.0f}" if len(means) > 1 else "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A world that changes in the middle of a life.")
    parser.add_argument("--change", default="flipped", choices=WORLDS, help="what changes (%(default)s)")
    parser.add_argument("--within", type=int, default=0, help="actions of an episode before it; 0: between episodes")
    parser.add_argument("--preset", default="cartpole-credited", help="of the networks (%(default)s)")
    parser.add_argument("--rule", default="", help="as in evaluate.py; if empty the last one of the preset")
    parser.add_argument("--episodes", type=int, default=400, help="before the change and after it (%(default)s)")
    parser.add_argument("--networks", type=int, default=8, help="side by side (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of networks and episodes (%(default)s)")
    known, flags = parser.parse_known_args()
    try:
        main(**vars(known), settings=flags)
    except ConfigError as error:
        parser.error(str(error))
