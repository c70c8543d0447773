"""The recurrent winner-take-all network of Yang et al. (2022) with spikes, as populations and projections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

from snn_plasticity_gym.networks.groups import Groups
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.populations import Plasticity, Population, Projection


def recurrent_groups(
    populations: Sequence[Population],
    params: LIFParams,
    groups: Groups,
    initial: Callable[[int], tuple[float, float]],
    plasticity: Plasticity,
    *,
    input_to_output: bool = False,
    plastic_hidden: bool = True,
) -> tuple[list[Population], list[Projection]]:
    """Return a network with winner-take-all groups as hidden layers and output, each connected with all others.

    Layers are sampled in sequence: forward connections carry the spikes of the step, backward ones those of the step
    before, with separate weights. Where both have the same weights and potentials hold
    the spikes of one step (tau_mem = dt) this is Gibbs sampling (Geman & Geman, Stochastic relaxation, Gibbs
    distributions, and the Bayesian restoration of images, 1984): states v have the stationary distribution of
    `networks/rwta.py`, p(v) ~ exp((v^T J v / 2 + s^T W v) / width); as tau_mem grows, frequencies go to its mean
    field. There are no synapses within a layer: layers of one group each are the network of the source, and groups of
    one layer are not connected.

    Args:
        populations: Names and sizes: the input, hidden layers, and the output, which is one group. An input with `lif`
            keeps it.
        params: Of all groups.
        groups: Of hidden layers; the output has the same width.
        initial: Maps the number of pre neurons to the interval of initial weights.
        plasticity: Of all plastic synapses.
        input_to_output: Whether the input projects to the output, too.
        plastic_hidden: Whether synapses into hidden layers are plastic.
    """
    source, *hidden, output = populations
    described = [
        source,
        *(Population(layer.name, layer.size, params, groups) for layer in hidden),
        Population(output.name, output.size, params, Groups(output.size, groups.width)),
    ]

    def join(pre: Population, post: Population, recurrent: bool) -> Projection:
        own = plasticity if plastic_hidden or post is output else None
        name = f"{pre.name}_to_{post.name}"
        return Projection(name, pre.name, post.name, recurrent=recurrent, initial=initial(pre.size), plasticity=own)

    projections = [join(source, layer, False) for layer in hidden]
    if input_to_output:
        projections.append(join(source, output, False))
    layers = [*hidden, output]
    projections += [join(pre, post, False) for pre, post in combinations(layers, 2)]
    projections += [join(post, pre, True) for pre, post in combinations(layers, 2)]
    return described, projections
