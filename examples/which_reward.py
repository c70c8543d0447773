"""Which reward selects rules that learn digits? Rank hand-written rules by reward, and by accuracy of networks.

    python examples/which_reward.py 40 12 [setting=value ...]

That is 40 hand-written rules with random parameters and 12 networks of the preset unsup1-es, of which settings can be
changed. Rewards are the information of winners on training images, on held-out ones, and on held-out ones
shifted by a pixel. The best reward for learning ranks rules as the accuracy of their networks does, in particular
among the better half of the rules, where a search ends.
"""

import sys
from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from snn_plasticity_gym.config.environments import ENVIRONMENTS, Unsup1Config
from snn_plasticity_gym.config.evaluate import EvaluateConfig
from snn_plasticity_gym.config.presets import read_preset, shipped_file
from snn_plasticity_gym.config.schema import build_configs
from snn_plasticity_gym.config.training import TRAINERS
from snn_plasticity_gym.evaluation.curves import Cohort
from snn_plasticity_gym.evaluation.labels import accuracy
from snn_plasticity_gym.evaluation.reward import rewards_of_networks
from snn_plasticity_gym.evaluation.unsupervised import ALL_ACTIVITY, LINEAR_PROBE, judge, plan_images
from snn_plasticity_gym.tasks.datasets import load_dataset
from snn_plasticity_gym.trainers.sessions.evaluation_session import rule_of

ENV = "SNNPlastic-Unsup1-v0"
IMAGES = {  # settings of the images for rewards
    "learned from": {"image_pool": 20},
    "not seen": {"image_pool": 0, "heldout_pool": 40},
    "not seen, moved": {"image_pool": 0, "heldout_pool": 40, "heldout_shift": 1},
}
PARAMETERS = {  # of rules, and values to sample from
    "stdp": {
        "learning_rate": (0.01, 0.02, 0.05, 0.1, 0.2, 0.4),
        "alpha": (0.0, 0.1, 0.3, 0.5, 1.0),
        "mu_plus": (0.0, 0.5, 1.0),
        "mu_minus": (0.0, 0.5, 1.0),
        "tau_plus": (5.0, 10.0, 20.0),
        "tau_minus": (5.0, 10.0, 20.0),
        "pairing": ("all", "nearest"),
        "coincident": (True, False),
    },
    "target-stdp": {
        "learning_rate": (0.01, 0.02, 0.05, 0.1, 0.2, 0.4),
        "x_tar": (0.05, 0.1, 0.2, 0.4, 0.8),
        "mu": (0.0, 0.2, 0.5, 1.0),
        "tau": (2.0, 5.0, 10.0, 20.0),
        "bounds": ("upper", "soft"),
        "pairing": ("all", "nearest"),
    },
}


def random_rule(rng: np.random.Generator) -> str:
    """Return the name of a rule with random parameters."""
    name = rng.choice(list(PARAMETERS))
    parameters = {key: values[rng.integers(len(values))] for key, values in PARAMETERS[name].items()}
    return ":".join([name, *(f"{key}={value}" for key, value in parameters.items())])


def ranks_alike(rewards: Sequence[float], scores: Sequence[float], share: float) -> float:
    """Return Spearman's correlation of rewards and scores among the rules with the best scores, so many of all."""
    rewards, scores = np.array(rewards), np.array(scores)
    best = scores >= np.quantile(scores, 1 - share)
    return float(spearmanr(rewards[best], scores[best]).statistic)


def main(count: int = 6, networks: int = 2, **settings: str) -> dict[str, list[float]]:
    """Print reward and accuracy of each rule, and rank correlations; return all numbers, (rules,) each."""
    preset = read_preset(shipped_file("preset", "unsup1-es"), ENV, EvaluateConfig, ENVIRONMENTS, TRAINERS)
    del preset["env"]
    configs = {images: build_configs(preset | settings | own, Unsup1Config)[0] for images, own in IMAGES.items()}
    config = configs["learned from"]
    plan = plan_images(load_dataset(config.dataset, config.data_dir, config.image_size), 500, 500, "validation")
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {name: [] for name in (*IMAGES, "accuracy", "probe")}
    for text in ["zero", *(random_rule(rng) for _ in range(count - 1))]:
        rule = rule_of(text, ENV, config, seed=0)
        judged = judge(rule, ENV, config, plan, Cohort(networks, config.plastic_episodes, seed=0))
        found["accuracy"].append(accuracy(judged.confusion[ALL_ACTIVITY]).mean().item())
        found["probe"].append(accuracy(judged.confusion[LINEAR_PROBE]).mean().item())
        for images, own in configs.items():
            reward = rewards_of_networks(rule, ENV, own, networks, seed=0)["reward"]
            found[images].append(reward.mean().item())
        print("  ".join(f"{name} {values[-1]:.3f}" for name, values in found.items()), text, flush=True)
    for share, group in ((1.0, "all"), (0.5, "the better half of the")):
        print(f"rank correlation among {group} rules:")
        for images in IMAGES:
            alike = {score: ranks_alike(found[images], found[score], share) for score in ("accuracy", "probe")}
            print(f"  reward of images {images:16}" + "".join(f"  {key} {value:.2f}" for key, value in alike.items()))
    return found


if __name__ == "__main__":
    numbers, assignments = sys.argv[1:3], sys.argv[3:]
    main(*map(int, numbers), **dict(assignment.split("=", 1) for assignment in assignments))
