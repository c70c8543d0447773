"""Competitive learning as a formula by hand: when a neuron fires, its weights move towards what it has just heard.

    post spike: d = x - 0.5 w,   x: trace of the pre neuron's earlier spikes, 20 ms

This is Grossberg's instar (1976) and the rule of Rumelhart & Zipser (1985): the winner's weights become the mean of
the images that it wins, as centres of k-means do. A formula lives whole images in compiled loops, and `evaluate.py`
takes it by its name:

    python trainers/evaluate.py --preset fast-wta --event_kinds post --eta_exc 0.01 \\
        --rules examples/competitive_learning.py:towards_input --train_episodes 3000 --n_exc 100

By itself this file compares it with target STDP on 16 neurons and scikit-learn's digits.
"""

from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.evaluation.reward import reward_of
from snn_plasticity_gym.rules.distilled import DistilledRule, Term
from snn_plasticity_gym.rules.registry import make_rule

ENV = "SNNPlastic-Unsup1-v0"
SETTINGS = {
    "dataset": "digits", "n_exc": 16, "num_steps": 50, "history_length": 50, "gain_input_exc": 6.0,
    "event_kinds": "post", "exc_one_spike": True, "exc_theta_plus": 0.2, "w_exc_sum": 8.0, "eta_exc": 0.1,
    "reward_form": "reconstruction",
}  # fmt: skip

towards_input = DistilledRule([[Term(1.0, ("x20",)), Term(-0.5, ("w",))]], dt=1.0, extra_names=())


def main(images: int = 150, networks: int = 4) -> dict[str, float]:
    """Print which share of an image its winner's weights explain, by some rules; return it."""
    config = environment_config(ENV, **SETTINGS)
    rules = {"towards input": towards_input, "target-stdp": make_rule("target-stdp"), "zero": make_rule("zero")}
    shares = {name: reward_of(rule, ENV, config, networks, images, seed=0).reward for name, rule in rules.items()}
    for name, share in shares.items():
        print(f"{name:14s} explains {share:.3f} of an image")
    return shares


if __name__ == "__main__":
    main()
