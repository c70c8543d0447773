"""Heads against the plain formula: z = [h; w], 128 ReLU, 128 ReLU, 1, tanh."""

import pytest
import torch

from snn_plasticity_gym.networks.spike_history import pack
from snn_plasticity_gym.plasticity.events import LocalState
from snn_plasticity_gym.policies import network as networks
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.heads import Head, Readout
from snn_plasticity_gym.policies.network import RuleNetwork, new_network

EXTRA_KEYS = ("factor", "layer")


def random_state(num_events: int, num_groups: int = 1, num_extras: int = 0, length: int = 20) -> LocalState:
    generator = torch.Generator().manual_seed(0)
    bits = (torch.rand(9, length, generator=generator) < 0.3).to(torch.uint8)
    bits[0] = 0
    return LocalState(
        histories=pack(bits),
        history_length=length,
        pair_pre=torch.randint(9, (13,), generator=generator),
        pair_post=torch.randint(9, (13,), generator=generator),
        pair=torch.randint(13, (num_events,), generator=generator),
        weight=torch.rand(num_events, generator=generator) * 2 - 1,
        group=torch.randint(num_groups, (num_events,), generator=generator),
        kind=torch.randint(3, (num_events,), generator=generator).to(torch.uint8),
        extras=torch.rand(num_events, num_extras, generator=generator),
    )


def network(num_groups: int = 1, use_kind: bool = False, num_extras: int = 0) -> RuleNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = new_network(Architecture(num_groups, use_kind, EXTRA_KEYS[:num_extras]))
        for head in net.heads:  # the last layer begins near 0: make the answers worth comparing
            torch.nn.init.normal_(head.rest[-1].weight)
        return net


def slow_hidden(head: Head, front, state: LocalState, event: int, use_kind: bool) -> torch.Tensor:
    """One event through the convolution and the hidden layers, (128,)."""
    bits = unpacked(state)
    history = torch.stack([bits[state.pair_pre[state.pair[event]]], bits[state.pair_post[state.pair[event]]]])
    h = front(history[None])[0]  # (32,)
    scalars = [state.weight[event : event + 1]]
    if use_kind:
        scalars.append(torch.eye(3)[int(state.kind[event])])
    x = torch.cat([h, *scalars, state.extras[event]])
    x = torch.relu(head.first.weight @ x + head.first.bias)
    return torch.relu(head.rest[1].weight @ x + head.rest[1].bias)


def slow_output(head: Head, front, state: LocalState, event: int, use_kind: bool) -> torch.Tensor:
    """One event through the convolution and the whole multilayer perceptron."""
    return head.rest[3].weight @ slow_hidden(head, front, state, event, use_kind) + head.rest[3].bias


def unpacked(state: LocalState) -> torch.Tensor:
    words = state.histories[:, 0]
    return torch.stack([(words >> (state.history_length - 1 - k)) & 1 for k in range(state.history_length)], dim=1)


@pytest.mark.parametrize("num_extras", [0, 2])
@pytest.mark.parametrize("use_kind", [False, True])
@pytest.mark.parametrize("num_groups", [1, 3])
def test_mean_value_and_action_equal_the_plain_network_event_by_event(num_groups, use_kind, num_extras):
    net, state = network(num_groups, use_kind, num_extras), random_state(40, num_groups, num_extras)
    features = net.features(state)
    mean, value = net.mean(features, state), net.value(features, state)
    acted = net.act(net.head_features.frozen(state.history_length), state)
    for event in range(40):
        expected = torch.tanh(slow_output(net.heads[int(state.group[event])], net.front, state, event, use_kind))
        torch.testing.assert_close(mean[event : event + 1], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(acted[event : event + 1], expected, rtol=1e-4, atol=1e-5)
        expected = slow_output(net.critic, net.front, state, event, use_kind)
        torch.testing.assert_close(value[event : event + 1], expected, rtol=1e-4, atol=1e-5)


def test_dimensions_are_those_of_the_docs():
    net = network()
    assert net.front.conv1.weight.shape == (16, 2, 5)
    assert net.front.conv2.weight.shape == (32, 16, 5)
    for head in [*net.heads, net.critic]:
        shapes = [tuple(parameter.shape) for name, parameter in head.named_parameters() if name.endswith("weight")]
        assert shapes == [(128, 33), (128, 128), (1, 128)]


def test_the_kind_matters_only_where_it_is_part_of_the_state():
    state = random_state(30)
    other = state._replace(kind=(state.kind + 1) % 3)
    for use_kind in (False, True):
        net = network(use_kind=use_kind)
        same = torch.equal(net.mean(net.features(state), state), net.mean(net.features(other), other))
        assert same is not use_kind


def test_events_of_one_group_never_touch_another_head():
    net, state = network(2), random_state(30, 2)
    state = state._replace(group=torch.zeros_like(state.group))
    net.mean(net.features(state), state).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in net.heads[0].parameters())
    assert all(p.grad is None or not p.grad.any() for p in net.heads[1].parameters())


def test_actor_and_critic_share_the_front():
    net, state = network(), random_state(30)
    for part in (net.mean, net.value):
        net.zero_grad()
        part(net.features(state), state).sum().backward()
        assert net.front.conv1.weight.grad.abs().sum() > 0


def test_permuting_events_permutes_the_answers_and_no_events_are_fine():
    net, state = network(2), random_state(30, 2)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    columns = ("pair", "weight", "group", "kind", "extras")
    shuffled = state._replace(**{name: getattr(state, name)[order] for name in columns})
    front = net.head_features.frozen(state.history_length)
    torch.testing.assert_close(net.act(front, shuffled), net.act(front, state)[order])
    nothing = state._replace(**{name: getattr(state, name)[:0] for name in columns})
    assert net.act(front, nothing).shape == (0,)
    assert net.mean(net.features(nothing), nothing).shape == (0,)


def random_readout(num_lifetimes: int, num_groups: int) -> tuple[Readout, torch.Generator]:
    generator = torch.Generator().manual_seed(5)
    weights = 0.2 * torch.randn(num_lifetimes, num_groups, 128, generator=generator)
    return Readout(weights, torch.randn(num_lifetimes, num_groups, generator=generator)), generator


@pytest.mark.parametrize("chunk", [networks.ACTING_CHUNK, 7, 1])
@pytest.mark.parametrize(("num_groups", "use_kind", "num_extras"), [(1, False, 0), (3, True, 2)])
def test_exploring_equals_a_loop_over_events(monkeypatch, num_groups, use_kind, num_extras, chunk):
    monkeypatch.setattr(networks, "ACTING_CHUNK", chunk)
    net, state = network(num_groups, use_kind, num_extras), random_state(40, num_groups, num_extras)
    readout, generator = random_readout(4, num_groups)
    lifetime = torch.randint(4, (40,), generator=generator)
    delta_d, moments = net.explore(net.head_features.frozen(state.history_length), state, lifetime, readout)

    expected = torch.zeros(num_groups, 129, 129, dtype=torch.float64)
    for event in range(40):
        group, who = int(state.group[event]), int(lifetime[event])
        with torch.no_grad():
            phi = slow_hidden(net.heads[group], net.front, state, event, use_kind)
            own = slow_output(net.heads[group], net.front, state, event, use_kind)[0]
        slow = torch.tanh(own + readout.weights[who, group] @ phi + readout.bias[who, group])
        torch.testing.assert_close(delta_d[event], slow, rtol=1e-4, atol=1e-4)
        one_phi = torch.cat([torch.ones(1), phi])
        expected[group] += torch.outer(one_phi, one_phi)
    assert moments.dtype == torch.float64
    torch.testing.assert_close(moments, expected, rtol=1e-4, atol=1e-4)


def test_exploring_without_readout_or_with_one_of_zeros_is_acting():
    net, state = network(2), random_state(30, 2)
    front, lifetime = net.head_features.frozen(state.history_length), torch.zeros(30, dtype=torch.int64)
    delta_d, moments = net.explore(front, state, lifetime, None)
    torch.testing.assert_close(delta_d, net.act(front, state))
    zeros, same = net.explore(front, state, lifetime, Readout(torch.zeros(1, 2, 128), torch.zeros(1, 2)))
    torch.testing.assert_close(zeros, net.act(front, state))
    assert torch.equal(moments, same)  # sums are of what the heads see, whatever is answered
    assert not net.explore(front, state, lifetime, None, measure=False)[1].any()
    assert moments[:, 0, 0].tolist() == state.group.bincount().tolist()


@pytest.mark.parametrize("readout", [None, random_readout(3, 2)[0]])
def test_exploring_no_events_is_fine(readout):
    net, state = network(2), random_state(30, 2)
    nothing = state._replace(
        **{name: getattr(state, name)[:0] for name in ("pair", "weight", "group", "kind", "extras")}
    )
    front = net.head_features.frozen(state.history_length)
    delta_d, moments = net.explore(front, nothing, torch.zeros(0, dtype=torch.int64), readout)
    assert delta_d.shape == (0,)
    assert moments.shape == (2, 129, 129) and not moments.any()


def test_a_head_without_hidden_layer_is_refused():
    with pytest.raises(ValueError, match="hidden_sizes must have 1 to 16 entries, got 0"):
        Head(32, 1, (), 1.0)


@pytest.mark.parametrize("chunk", [7, 1])
@pytest.mark.parametrize("num_groups", [1, 3])
def test_acting_in_chunks_is_acting(monkeypatch, num_groups, chunk):
    net, state = network(num_groups, True), random_state(40, num_groups)
    features = net.head_features.frozen(state.history_length)
    whole = net.act(features, state)
    monkeypatch.setattr(networks, "ACTING_CHUNK", chunk)
    torch.testing.assert_close(net.act(features, state), whole)
