"""Behavioural cloning of a given rule by policy heads (Pomerleau 1991), to start a search from it.

Axes: E events.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from snn_plasticity_gym.plasticity.events import LocalState
from snn_plasticity_gym.policies.network import RuleNetwork

STEPS = 3000
BATCH = 2048  # events of a step
LEARNING_RATE = 1e-2  # initial one of Adam; it decays linearly to 0


def imitate(network: RuleNetwork, state: LocalState, delta_d: Tensor, seed: int) -> None:
    """Fit the heads to target weight changes by least squares; the front is fixed.

    Args:
        network: Its heads are changed.
        state: Local states of E events.
        delta_d: Target weight changes, (E,), in [-1, 1].
        seed: Of the order of events.
    """
    inputs = network.head_features.frozen(state.history_length).inputs(state).rows(slice(None))  # (E, F)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.heads.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS)
    for _ in range(STEPS):
        some = torch.randint(len(delta_d), (BATCH,), generator=generator).to(delta_d.device)
        loss = mse_loss(network.answers(inputs[some], state.group[some]), delta_d[some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
