"""Heads over terms: their answers by hand, from files, for other groups, and where there are none."""

import math

import pytest
import torch
from batches import K, events_of

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.spike_history import unpack
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.frozen_rule import LayerByLayer
from snn_plasticity_gym.policies.head_registry import register_head, resolve_head
from snn_plasticity_gym.policies.learned_rule import LearnedRule
from snn_plasticity_gym.policies.loading import load_rule
from snn_plasticity_gym.policies.network import new_network
from snn_plasticity_gym.policies.rule_description import describe
from snn_plasticity_gym.policies.rule_files import save_rule
from snn_plasticity_gym.policies.term_head import TermHead

DT, TERMS = 2.0, ("pre", "post", "x20", "y5", "w")


def rule_of(groups: int = 1) -> LearnedRule:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = Architecture(groups, hidden_sizes=(6,), formula_terms=TERMS, dt=DT, head="terms")
        network = new_network(shape)
        for parameter in network.heads.parameters():
            torch.nn.init.normal_(parameter)
    return LearnedRule(describe(shape, history_length=K), network)


def test_a_fresh_head_has_the_gain_that_it_is_given():
    last = TermHead(len(TERMS), (6,), 0.03).perceptron.last
    assert last.weight.norm().item() == pytest.approx(0.03) and not last.bias.any()


def by_hand(rule: LearnedRule, batch, event: int) -> float:
    """One event's answer, number by number."""
    pair, kind = int(batch.pair[event]), int(batch.kind[event])
    bits = unpack(batch.histories, batch.history_length).tolist()
    pre, post = bits[int(batch.pair_pre[pair])], bits[int(batch.pair_post[pair])]
    traces = [
        sum(bit * math.exp(-(len(row) - 1 - place) * DT / tau) for place, bit in enumerate(row[:-1]))
        for row, tau in ((pre, 20.0), (post, 5.0))
    ]
    z = [float(kind != 1), float(kind != 0), *traces, float(batch.weight[event])]
    head = rule.rule.heads[int(batch.group[event])]
    first, last = head.perceptron.layers
    total = last.bias.item()
    for share, row, constant in zip(last.weight[0].tolist(), first.weight.tolist(), first.bias.tolist(), strict=True):
        total += share * max(constant + sum(a * b for a, b in zip(row, z, strict=True)), 0.0)
    return math.tanh(total)


@pytest.mark.parametrize("groups", [1, 2])
def test_answers_are_those_by_hand(groups):
    rule = rule_of(groups)
    batch = events_of([14, 0, 10], 3, groups)
    batch = batch._replace(kind=(torch.arange(24) % 3).to(torch.uint8))
    frozen = rule.frozen(K)
    assert isinstance(frozen._act, LayerByLayer) and isinstance(rule.rule.heads[0], TermHead)
    expected = torch.tensor([by_hand(rule, batch, event) for event in range(24)])
    torch.testing.assert_close(frozen(batch), expected, atol=1e-5, rtol=1e-4)
    state = batch.local_state()
    torch.testing.assert_close(rule.rule.mean(rule.rule.features(state), state), expected, atol=1e-5, rtol=1e-4)
    inputs = frozen.inputs(state).rows(slice(0, 24))
    torch.testing.assert_close(rule.rule.answers(inputs, state.group), expected, atol=1e-5, rtol=1e-4)
    assert frozen.whole_formula() is None and frozen.whole_heads() is None and frozen.of_lifetimes([]) is None


def test_it_comes_back_from_a_file_and_answers_any_groups(tmp_path):
    rule, batch = rule_of(), events_of([20], 5, 1)
    save_rule(tmp_path, rule.rule, rule.description)
    back = load_rule(tmp_path)
    assert back.description.architecture == rule.description.architecture
    assert torch.equal(back(batch), rule(batch))
    wider = back.for_groups(["a", "b", "c"])
    assert torch.equal(wider(batch._replace(group=torch.arange(20) % 3)), rule(batch))
    with pytest.raises(ConfigError, match="only a formula can be written out as Python"):
        back.to_python()


def test_no_history_is_needed():
    """Traces are taken of histories of any length."""
    rule = rule_of().frozen(K + 40)
    assert rule(events_of([6], 5, 1)).shape == (6,)


def test_what_is_no_such_head_is_refused():
    with pytest.raises(ConfigError, match="head 'terms' sees terms, got no formula_terms"):
        Architecture(head="terms")
    with pytest.raises(ConfigError, match="name 'terms' of a head is taken"):
        register_head("terms", TermHead)
    with pytest.raises(ConfigError, match="head 'terms' is that of rules of train_plastic"):
        resolve_head("terms")
