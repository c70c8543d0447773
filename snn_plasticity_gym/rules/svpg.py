"""The score function of a policy gradient as an eligibility: pre times (post minus its expectation)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from snn_plasticity_gym.config.schema import config_class, setting
from snn_plasticity_gym.plasticity.events import KIND_POST, SynapseEvents


@config_class
class ScoreRule:
    """dw_ij = gain * (s_j - p_j) at every presynaptic spike; s_j is 1 if the post neuron fires in this step, else 0.

    p_j = 1 / (1 + exp(u_j / width)) is the spike probability of a neuron with escape noise, where u_j is the distance
    of its potential to threshold, in units of threshold minus rest. Then pre (post - p) is the derivative of the log
    probability of the neuron's output, and, multiplied by the reward, its mean is the gradient of the reward (Williams,
    Simple statistical gradient-following algorithms, 1992, section 4, Bernoulli-logistic units; for spiking neurons Xie
    & Seung, Learning in neural networks by reinforcement of irregular spiking, 2004). It is what `learners.svpg` does
    in networks of winner-take-all groups, with the softmax of a group for p, here with a width of width / (V_th -
    V_rest) of the groups, see `networks.groups`.

    The rule is the eligibility alone; it is multiplied by the reward where the environment's `modulation` is "reward"
    or "factor". With "none" it is unsupervised and reinforces random spikes. Weights change at pre spikes only, since
    there alone its mean without reward is zero.
    """

    needs: ClassVar[tuple[str, ...]] = ("potential",)  # local scalars

    gain: float = setting(1.0, "Weight change per unit of the product, in units of eta.", section="Score", gt=0)
    width: float = setting(0.2, "Width of the escape noise, in units of threshold minus rest.", section="Score", gt=0)

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return the normalised weight change of each event, (E,).

        Raises:
            ConfigError: The events have no local scalar potential.
        """
        expected = torch.sigmoid(-events.scalar("potential") / self.width)  # (E,)
        post = events.pair_post.index_select(0, events.pair)  # (E,) row of `histories`
        # Bit 0 is now. The kind does not suffice: where events of pre spikes are separate, none is of both.
        fires = (events.histories[:, 0] & 1).index_select(0, post).to(expected.dtype)
        return (self.gain * (fires - expected)).masked_fill(events.kind == KIND_POST, 0.0)
