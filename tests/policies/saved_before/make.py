"""What version 0.1 wrote, as it stood before its modules were moved: rules as files and as zips, with their answers.

Run once by that version, from its root: PYTHONPATH=.:tests python THIS_FILE FOLDER. The files beside were made so.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from snn_plasticity_gym.agents.a2c import EventA2C
from snn_plasticity_gym.agents.learned_rule import save_rule
from snn_plasticity_gym.events import SynapseEvents
from snn_plasticity_gym.history import pack
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env

K, E = 8, 24
SETTINGS = {
    "dataset": "digits", "image_size": 4, "hidden_sizes": (5,), "num_steps": K, "history_length": K,
    "third_factor": "feedback", "event_kinds": "feature", "events_per_step": 4,
}  # fmt: skip
RULES = {
    "network": {
        "hidden_sizes": (6, 7), "channels": (3, 4), "kernel_sizes": (3, 5), "use_kind": True, "sigma": 0.25,
    },
    "formula": {
        "hidden_sizes": (4,), "channels": (2, 2), "kernel_sizes": (1, 1), "dt": 0.5,
        "formula_terms": ("post", "pre*post", "post*x20*w", "factor*yn"),
    },
}  # fmt: skip


def events() -> tuple[SynapseEvents, dict[str, np.ndarray]]:
    """Events of all kinds, each with histories of its own, and the same as plain arrays."""
    generator = torch.Generator().manual_seed(5)
    history = (torch.rand(E, 2, K, generator=generator) < 0.4).to(torch.uint8)
    kind = (torch.arange(E) % 3).to(torch.uint8)
    history[:, 0, -1], history[:, 1, -1] = kind != 1, kind != 0
    weight, extras = torch.rand(E, generator=generator) * 2 - 1, torch.randn(E, 1, generator=generator)
    rows, zeros = torch.arange(2 * E).view(-1, 2), torch.zeros(E, dtype=torch.int64)
    batch = SynapseEvents(
        histories=pack(history.flatten(0, 1)), history_length=K, pair_pre=rows[:, 0], pair_post=rows[:, 1],
        pair=torch.arange(E), synapse=torch.arange(E), weight=weight, projection=zeros, group=zeros, kind=kind,
        extras=extras, lengths=torch.tensor([E]),
    )  # fmt: skip
    return batch, {"history": history, "weight": weight, "kind": kind, "extras": extras}


for name, policy in RULES.items():
    env = make_sb3_env("SNNPlastic-Semi-v0", 2, **SETTINGS)
    model = EventA2C("PlasticityPolicy", env, seed=0, policy_kwargs=policy)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    folder = Path(sys.argv[1]) / name
    folder.mkdir(parents=True, exist_ok=True)
    save_rule(folder, model.policy.rule, model.policy.architecture, groups=["semi"], history_length=K, images=7)
    model.save(folder / "final.zip")
    batch, arrays = events()
    np.savez(folder / "answers.npz", delta_d=model.policy.frozen(K)(batch), **arrays)
