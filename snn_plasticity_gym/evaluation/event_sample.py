"""A uniform sample of the synaptic events of an environment, with a rule's weight changes.

Axes: B networks, E events of a call, N events of the sample, W words of a history, X extra scalars.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from snn_plasticity_gym.config.base import PHASES
from snn_plasticity_gym.config.environments import EnvironmentConfig
from snn_plasticity_gym.config.schema import to_dict
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.evaluation.probes import Site
from snn_plasticity_gym.plasticity.events import SynapseEvents, per_event
from snn_plasticity_gym.rules.base import Rule

MOST_STEPS = 20_000  # time steps, after which no further episode begins


class EventSample(NamedTuple):
    """Events of B networks, and a rule's outputs."""

    events: SynapseEvents  # N, by projection, as if of one network and time step, so that any rule accepts them
    delta_d: Tensor  # (N,) the rule's outputs, clipped to [-1, 1]
    network: Tensor  # (N,) int64
    sites: list[Site]  # of every plastic projection, in the order that `SynapseEvents.projection` counts
    heads: list[str]  # of the policy, in the order that `SynapseEvents.group` counts
    total: Tensor  # (projections,) int64, events before sampling
    max_rate: float  # largest spike probability of an input neuron in a step

    def of(self, projection: int) -> Tensor:
        """Return the indices of the events of a projection, (M,)."""
        return (self.events.projection == projection).nonzero().squeeze(1)

    def take(self, part: Tensor) -> EventSample:
        """Return a subset of the events."""
        events = self.events.take(part, torch.tensor([len(part)]))
        return self._replace(events=events, delta_d=self.delta_d[part], network=self.network[part])


class _Kept(NamedTuple):
    """Reservoir of events of one projection."""

    keys: Tensor  # (M,) random; the smallest stay
    windows: Tensor  # int64 (M, 2, W)
    weight: Tensor  # (M,)
    group: Tensor  # (M,)
    kind: Tensor  # (M,)
    extras: Tensor  # (M, X)
    network: Tensor  # (M,)
    delta_d: Tensor  # (M,)

    def smallest(self, count: int) -> _Kept:
        if len(self.keys) <= count:
            return self
        chosen = self.keys.topk(count, largest=False).indices
        return _Kept(*(column[chosen] for column in self))


@torch.no_grad()
def sample_events(
    rule: Rule, env_id: str, config: EnvironmentConfig, num_networks: int, images: int, size: int, seed: int
) -> EventSample:
    """Train fresh networks by a rule, and sample the events of every projection uniformly.

    No episode begins after `MOST_STEPS` time steps.

    Args:
        rule: Plasticity rule.
        env_id: Environment.
        config: Its settings; networks are renewed as these say, and differ.
        num_networks: B.
        images: Episodes of each network.
        size: Events to keep of each projection, or all if there are fewer.
        seed: Of networks, episodes, input spikes and the sample.
    """
    env = PlasticityVectorEnv(env_id, num_envs=num_networks, **(to_dict(config) | {"common_network": False}))
    env.reset(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    sites = sites_of(env)
    kept: list[_Kept | None] = [None] * len(sites)
    total = torch.zeros(len(sites), dtype=torch.int64)
    steps = 0
    for _ in range(images):
        if steps >= MOST_STEPS:
            break
        while (events := env.events()) is not None:
            delta_d = rule(events).to(events.weight.dtype)
            keys = torch.rand(len(delta_d), generator=generator)
            for place in range(len(sites)):
                mine = events.projection == place
                total[place] += int(mine.sum())
                before = kept[place]
                if before is not None and len(before.keys) == size:
                    mine &= keys < before.keys.max()
                new = _columns(events, delta_d, keys, mine.nonzero().squeeze(1))
                joined = new if before is None else _Kept(*map(torch.cat, zip(before, new, strict=True)))
                kept[place] = joined.smallest(size)
            env.apply(delta_d)
        steps += int(env.finish().length.max())
    env.close()
    sampled = _joined([one for one in kept if one is not None], config, env.engine.scalars.names)
    return EventSample(*sampled, sites, env.engine.heads, total, env.engine.task.max_rate)


def sites_of(env: PlasticityVectorEnv) -> list[Site]:
    """Return the probe sites of an environment's plastic projections."""
    engine, config = env.engine, env.engine.config
    phases = PHASES[config.event_kinds]
    sides = tuple(None if len(fans) == 2 else int(fans[0]) for fans in phases)
    return [
        Site(
            name=projection.name,
            projection=place,
            group=projection.plasticity.group * len(phases),
            dt=config.dt,
            history_length=config.history_length,
            sides=sides,
            extra_names=engine.scalars.names,
        )
        for place, projection in enumerate(p for p in engine.network.projections if p.plasticity is not None)
        if projection.plasticity is not None
    ]


def _columns(events: SynapseEvents, delta_d: Tensor, keys: Tensor, some: Tensor) -> _Kept:
    pair = events.pair[some]
    windows = [events.histories[rows[pair]] for rows in (events.pair_pre, events.pair_post)]  # (M, W) each
    network = per_event(torch.arange(len(events.lengths)), events.lengths)
    return _Kept(
        keys[some],
        torch.stack(windows, dim=1),
        events.weight[some],
        events.group[some],
        events.kind[some],
        events.extras[some],
        network[some],
        delta_d[some].clamp(-1.0, 1.0),
    )


def _joined(
    kept: list[_Kept], config: EnvironmentConfig, extra_names: tuple[str, ...]
) -> tuple[SynapseEvents, Tensor, Tensor]:
    """Return all sampled events as one batch, with the rule's outputs (N,) and their networks (N,)."""
    projection = torch.repeat_interleave(torch.arange(len(kept)), torch.tensor([len(one.keys) for one in kept]))
    whole = _Kept(*map(torch.cat, zip(*kept, strict=True)))
    count = len(projection)
    place = torch.arange(count)
    events = SynapseEvents(
        histories=torch.cat([torch.zeros_like(whole.windows[:1, 0]), whole.windows.flatten(0, 1)]),  # (1 + 2 N, W)
        pair_pre=1 + 2 * place,
        pair_post=2 + 2 * place,
        pair=place,
        synapse=place,
        weight=whole.weight,
        projection=projection,
        group=whole.group,
        kind=whole.kind,
        extras=whole.extras,
        lengths=torch.tensor([count]),
        history_length=config.history_length,
        extra_names=extra_names,
    )
    return events, whole.delta_d, whole.network
