"""Random batches of events, and a policy's stand-in, for what acts on events."""

import torch
from torch import nn

from snn_plasticity_gym.networks.spike_history import pack
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.network import RuleNetwork, new_network

K = 10


def events_of(lengths: list[int], seed: int = 0, groups: int = 2) -> SynapseEvents:
    """Random events; those of a lifetime whose length is equal to that of another are their own."""
    generator = torch.Generator().manual_seed(seed)
    total = sum(lengths)
    return SynapseEvents(
        histories=pack((torch.rand(9, K, generator=generator) < 0.4).to(torch.uint8)),
        pair_pre=torch.randint(9, (12,), generator=generator),
        pair_post=torch.randint(9, (12,), generator=generator),
        pair=torch.randint(12, (total,), generator=generator),
        synapse=torch.arange(total),
        weight=torch.rand(total, generator=generator) * 2 - 1,
        projection=torch.zeros(total, dtype=torch.int64),
        group=torch.randint(groups, (total,), generator=generator),
        kind=torch.zeros(total, dtype=torch.uint8),
        extras=torch.empty(total, 0),
        lengths=torch.tensor(lengths),
        history_length=K,
    )


def repeated(events: SynapseEvents, times: int) -> SynapseEvents:
    """The events of one lifetime, had by several lifetimes."""
    columns = ("pair", "synapse", "weight", "projection", "group", "kind", "extras")
    same = {name: torch.cat([getattr(events, name)] * times) for name in columns}
    return events._replace(**same, lengths=events.lengths.repeat(times))


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


SIGMA = 0.2


class Policy:
    """What exploration asks of a policy."""

    sigma = SIGMA

    def __init__(self, rule: RuleNetwork | None = None) -> None:
        self.rule = network_of() if rule is None else rule

    def log_prob(self, mean: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return torch.distributions.Normal(mean, self.sigma).log_prob(actions)


def network_of(groups: int = 2) -> RuleNetwork:
    """Heads with last layers that matter, and biases that are not 0."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = Architecture(num_groups=groups, use_kind=True, hidden_sizes=(7, 5), channels=(6, 8))
        network = new_network(shape)
        for head in network.heads:
            nn.init.normal_(head.rest[-1].weight)
            for layer in layers_of(head):
                nn.init.normal_(layer.bias, std=0.3)
    return network


def layers_of(head: nn.Module) -> list[nn.Linear]:
    return [module for module in head.modules() if isinstance(module, nn.Linear)]
