"""Write a rule in ten lines, compute its kernel, and compare it with others.

A rule is any function from a batch of synapse events to one weight change in [-1, 1] each. This one potentiates a
synapse at a post spike if its pre neuron was active recently, and depresses it if not.
"""

import numpy as np
import torch

from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.evaluation.kernels import pair_window
from snn_plasticity_gym.evaluation.probes import Site
from snn_plasticity_gym.evaluation.reward import reward_of
from snn_plasticity_gym.plasticity.events import KIND_PRE, SynapseEvents
from snn_plasticity_gym.rules.registry import make_rule
from snn_plasticity_gym.rules.traces import Traces, of_pre

ENV = "SNNPlastic-Unsup1-v0"
SETTINGS = {"dataset": "digits", "n_exc": 32, "num_steps": 50, "history_length": 50, "gain_input_exc": 3.0}


def my_rule(events: SynapseEvents) -> torch.Tensor:
    """Return one weight change for each event, (E,)."""
    recent = of_pre(events, Traces(events, dt=1.0).exponential(tau=10.0, now=True))  # (E,) trace of the pre neuron
    post_fires = events.kind != KIND_PRE
    excitatory = events.weight >= 0
    return 0.5 * (recent - 0.3) * post_fires * excitatory


def main(images: int = 32) -> dict[str, float]:
    """Print the rule's kernel and the reward of some rules on the same networks and images; return the rewards."""
    site = Site("input_to_exc", projection=0, group=0, dt=1.0, history_length=50)
    window = pair_window(my_rule, site, weights=np.array([0.3]))
    print("weight change by a spike pair, by t_post - t_pre:")
    for delay in (-10.0, -1.0, 0.0, 1.0, 10.0, 30.0):
        print(f"  {delay:5.0f} ms  {window.change[0][window.delays == delay][0]:+.3f}")
    config = environment_config(ENV, **SETTINGS)
    rules = {"my_rule": my_rule, "target-stdp": make_rule("target-stdp"), "zero": make_rule("zero")}
    rewards = {name: reward_of(rule, ENV, config, 4, images, seed=0).reward for name, rule in rules.items()}
    for name, reward in rewards.items():
        print(f"{name:12} reward {reward:.3f}")
    return rewards


if __name__ == "__main__":
    main()
