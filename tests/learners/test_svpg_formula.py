"""Formulas of winner-take-all networks: known rules are points among them; sums by pieces against loops; bad ones."""

import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.config.svpg import TERMS, SVPGConfig
from snn_plasticity_gym.learners.svpg import contrast, paper
from snn_plasticity_gym.learners.svpg_agents import MeanFieldAgent
from snn_plasticity_gym.learners.svpg_formula import CONTRAST, PAPER, SIZE, coefficients_of, formula_change, formula_of
from snn_plasticity_gym.networks.rwta import GroupLayout, initial_weights

LAYOUT = GroupLayout(num_inputs=4, hidden_groups=2, group_size=3, num_actions=2)
FREE, HELD, DRAWN = range(3)


def a_batch(num=7):
    generator = torch.Generator().manual_seed(3)
    inputs = torch.rand(num, LAYOUT.num_inputs, generator=generator).double()
    states = tuple(torch.rand(num, LAYOUT.num_neurons, generator=generator).double() for _ in range(3))
    factor = torch.randn(num, generator=generator).double()
    weights = initial_weights(LAYOUT, generator, input_scale=1.0, lateral_scale=1.0)
    return type(weights)(*(part.double() for part in weights)), inputs, states, factor


@pytest.mark.parametrize("name", ["contrast", "paper"])
def test_known_rules_are_formulas(name):
    weights, inputs, states, factor = a_batch()
    right = {
        "contrast": contrast(inputs, states[FREE], states[HELD], factor),
        "paper": paper(inputs, states[FREE], states[DRAWN], factor),
    }[name]
    formula = {"contrast": CONTRAST, "paper": PAPER}[name]
    change = formula_change(coefficients_of(formula), weights, inputs, *states, factor)
    for one, other in zip(change, right, strict=True):
        torch.testing.assert_close(one, other)


def test_every_term_is_the_product_of_its_name():
    """One coefficient after the other, against loops over images, neurons before and neurons after."""
    weights, inputs, states, factor = a_batch(3)
    free, held, drawn = states
    by_name = {"free": free, "moved": held - free, "drawn": drawn - free}
    names = [(part, term) for part, terms in TERMS.items() for term in terms]
    for place, (part, term) in enumerate(names):
        kinds = term.split("*")
        reward = torch.ones_like(factor) if kinds == ["w"] else factor
        expected = type(weights)(*(torch.zeros_like(tensor) for tensor in weights))
        for b, k in itertools.product(range(len(factor)), range(LAYOUT.num_neurons)):
            scale = reward[b] / len(factor)
            if part == "inputs":
                value = [weights.inputs[:, k], weights.bias[k]] if kinds == ["w"] else [by_name[kinds[0]][b, k]] * 2
                pre = torch.ones_like(inputs[b]) if kinds == ["w"] else inputs[b]
                expected.inputs[:, k] += scale * pre * value[0]
                expected.bias[k] += scale * value[1]
            elif kinds == ["w"]:
                expected.lateral[:, k] += scale * weights.lateral[:, k]
            else:
                x, y = (by_name[kind][b] for kind in kinds)
                expected.lateral[:, k] += scale * (x * y[k] + y * x[k]) / 2
        change = formula_change(np.eye(SIZE)[place], weights, inputs, *states, factor)
        for one, other in zip(change, expected, strict=True):
            torch.testing.assert_close(one, other, msg=f"{part} {term}")


@settings(max_examples=30)
@given(st.lists(st.floats(-1e6, 1e6), min_size=SIZE, max_size=SIZE))
def test_a_formula_comes_back_from_its_text(values):
    assert coefficients_of(json.dumps(formula_of(np.array(values)))).tolist() == values


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ({"hidden": {}}, "a formula has the parts inputs, lateral, got 'hidden'"),
        ({"inputs": 3}, "inputs of a formula must be coefficients by term, got 3"),
        ({"inputs": {"free*w": 1}}, "inputs of a formula have the terms free, moved, .*got 'free\\*w'"),
        ({"lateral": {"w": True}}, "the coefficient of w must be a finite number, got True"),
        ({"lateral": {"w": float("inf")}}, "finite number, got inf"),
    ],
)
def test_what_is_no_formula_is_refused(formula, message):
    with pytest.raises(ConfigError, match=message) as error:
        coefficients_of(formula)
    assert "\n" not in str(error.value)


def test_settings_refuse_a_formula_that_is_not_used_and_a_rule_without_one():
    text = json.dumps(CONTRAST)
    assert SVPGConfig(rule="formula", formula=text).rule == "formula"
    with pytest.raises(ConfigError, match="a formula needs rule formula, got paper"):
        SVPGConfig(rule="paper", formula=text)
    with pytest.raises(ConfigError, match="rule formula needs coefficients, got none"):
        SVPGConfig(rule="formula")


@pytest.mark.parametrize(("known", "sign"), [(CONTRAST, 1.0), (CONTRAST, -1.0)], ids=["contrast", "flipped"])
def test_a_network_that_a_formula_teaches_copies_a_bit(known, sign):
    """From reward alone, through hidden neurons; with the other sign it learns to do the opposite."""
    flipped = {part: {term: sign * value for term, value in terms.items()} for part, terms in known.items()}
    config = SVPGConfig(rule="formula", formula=json.dumps(flipped), hidden_groups=4, group_size=4, lateral_scale=0.3)
    generator = torch.Generator().manual_seed(0)
    layout = GroupLayout(2, 4, 4, 2, input_to_action=False)
    agent = MeanFieldAgent(config, layout, generator, torch.Generator().manual_seed(1), torch.device("cpu"))
    optimiser = torch.optim.Adam(list(agent.weights.values()), 0.02, maximize=True)
    for _ in range(150):
        bit = torch.randint(2, (50,), generator=generator)
        inputs = torch.nn.functional.one_hot(bit, 2).float()
        look = agent.look(inputs)
        action = torch.multinomial(look.policy, 1, generator=generator)[:, 0]
        agent.learn(inputs, look, action, (action == bit).float() - look.policy.square().sum(dim=1), 0.0)
        optimiser.step()
    right = agent.judge(torch.eye(2)).diagonal()
    assert (right > 0.9).all() if sign > 0 else (right < 0.6).any()
