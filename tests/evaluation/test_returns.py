"""The judge by returns, on worlds whose best actions are known and on a task of a third party."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from toys_tasks import QUOTA, registered
from toys_worlds import BANDIT, CORRIDOR

from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.envs.making import make_engine
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.evaluation.classification import TEST_SEED
from snn_plasticity_gym.evaluation.curves import Cohort
from snn_plasticity_gym.evaluation.returns import LENGTH, RETURN, TERM, Examiner, ReturnCurve, return_curve
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.rules.registry import make_rule

CONTROL = "SNNPlastic-Control-v0"
GROUP = 3  # motor neurons of an action
SMALL = {
    "history_length": 6,
    "encoder": "one-hot",
    "encoder_kwargs": '{"fields": 2, "period": 3}',
    "decoder_kwargs": f'{{"group_size": {GROUP}}}',
    "hidden_sizes": (),
    "steps_per_action": 9,
    "w_init_min": 0.5,
    "w_init_max": 1.0,
    "eta": 0.05,
}
BANDITS = {**SMALL, "world": BANDIT, "max_actions": 1}
CORRIDORS = {**SMALL, "world": CORRIDOR, "world_kwargs": '{"cells": 3, "random_start": true}', "max_actions": 12}
CASES = {"bandit": (CONTROL, BANDITS), "corridor": (CONTROL, CORRIDORS), "third party": (QUOTA, {"history_length": 5})}


@pytest.fixture(scope="module", autouse=True)
def quota():
    with registered():
        yield


class Towards:
    """Strengthens what leads to the motor neurons of one action, weakens what leads to those of the other."""

    def __init__(self, action: int) -> None:
        self._action = action

    def __call__(self, events: SynapseEvents) -> Tensor:
        group = events.synapse % (2 * GROUP) // GROUP
        return torch.where(group == self._action, 1.0, -1.0)


def by_hand(rule, env_id, config, train: int, test: int, seed: int) -> dict[str, list[list[float]]]:
    """Return and length of every episode of one network: those it learns from, then those of the test.

    The test holds weights by a rule of zeros in a plastic network that was given them, which takes another way.
    """

    def live(engine, rule, episodes: int) -> list[list[float]]:
        found = []
        for _ in range(episodes):
            engine.begin([0])
            while not engine.ended[0]:
                events = engine.advance()
                engine.write(events, rule(events))
                engine.settle()
            result = engine.finish([0])
            found.append([float(result.reward), float(result.length)])
        return found

    learner, tester = (make_engine(env_id, config, 1) for _ in range(2))
    learner.start_lifetimes([0], [seed])
    learned = live(learner, rule, train)
    tester.start_lifetimes([0], [TEST_SEED + seed])
    tester.network.weights.copy_(learner.network.weights)
    return {"learned": learned, "tested": live(tester, make_rule("zero"), test)}


@pytest.mark.parametrize("case", CASES)
def test_each_network_does_what_it_does_alone(case):
    env_id, settings = CASES[case]
    config = environment_config(env_id, **settings, lifetime_length=2, plastic_episodes=1)  # both set aside
    rule = make_rule("stdp", learning_rate=0.3, scale=0.2) if case == "third party" else Towards(1)
    curve = return_curve(rule, env_id, config, Cohort(3, 5, seed=11), 4, "validation")
    alone = environment_config(env_id, **settings)
    assert curve.episodes == [0, 5]
    changed = False
    for row in range(3):
        found = by_hand(rule, env_id, alone, 5, 4, 11 + row)
        fresh = by_hand(rule, env_id, alone, 0, 4, 11 + row)
        for place, name in enumerate((RETURN, LENGTH)):
            learned, tested, before = (np.mean(part, axis=0)[place] for part in (*found.values(), fresh["tested"]))
            assert curve.learning[name][row].item() == pytest.approx(learned)
            assert curve.tests[name][-1, row].item() == pytest.approx(tested)
            assert curve.tests[name][0, row].item() == pytest.approx(before)
        changed |= found["tested"] != fresh["tested"]
    assert changed  # else the comparison would say nothing


@pytest.mark.parametrize(("action", "best"), [(1, 1.0), (0, -1.0)])
def test_a_rule_that_leads_to_an_action_has_its_return(action, best):
    config = environment_config(CONTROL, **BANDITS)
    curve = return_curve(Towards(action), CONTROL, config, Cohort(4, 10, seed=0, tests=2), 6, "validation")
    assert curve.episodes == [0, 5, 10] and curve.tests[RETURN][-1].tolist() == [best] * 4
    figures = curve.as_dict()
    before = np.array(figures["before"][RETURN]["values"])
    assert figures["after"][RETURN] == {"mean": best, "sd": 0.0, "values": [best] * 4} and figures["networks"] == 4
    assert figures["gain"][RETURN]["values"] == (best - before).tolist() and np.abs(before).max() < 1
    assert figures["gain"][RETURN]["sd"] == pytest.approx((best - before).std(ddof=1))
    assert figures["curves"]["episodes"] == [0, 5, 10] and np.shape(figures["curves"][RETURN]) == (4, 3)


def test_the_corridor_is_walked_by_a_rule_that_leads_to_the_right():
    config = environment_config(CONTROL, **(CORRIDORS | {"world_kwargs": '{"cells": 3}', "eta": 0.2}))
    curve = return_curve(Towards(1), CONTROL, config, Cohort(2, 12, seed=0), 3, "validation")
    assert curve.tests[RETURN][-1].tolist() == pytest.approx([1 - 0.01 * 2] * 2)  # of each step, then of the last cell
    assert curve.tests[LENGTH][-1].tolist() == [18.0, 18.0]


def test_without_plasticity_nothing_is_gained_and_starts_are_those_of_every_rule():
    config = environment_config(CONTROL, **CORRIDORS)
    still, moved = (
        return_curve(rule, CONTROL, config, Cohort(3, 6, seed=2, tests=3), 3, "validation")
        for rule in (make_rule("zero"), Towards(1))
    )
    for curve in still.tests.values():
        assert (curve == curve[0]).all()
    assert torch.equal(still.tests[RETURN][0], moved.tests[RETURN][0])
    assert not torch.equal(still.tests[RETURN][-1], moved.tests[RETURN][-1])


def test_tests_on_the_way_leave_no_trace():
    config = environment_config(QUOTA)
    rule = make_rule("stdp", learning_rate=0.3)
    many, few = (
        return_curve(rule, QUOTA, config, Cohort(2, 6, seed=5, tests=tests), 2, "validation") for tests in (6, None)
    )
    for name, curve in few.tests.items():
        torch.testing.assert_close(many.tests[name][[0, -1]], curve, equal_nan=True)
        torch.testing.assert_close(many.learning[name], few.learning[name], equal_nan=True)


def test_networks_of_several_processes_are_those_of_one():
    config = environment_config(CONTROL, **CORRIDORS, common_noise=True)

    def curve_of(num_networks: int, seed: int) -> ReturnCurve:
        cohort = Cohort(num_networks, 3, seed, tests=1, common_seed=9)
        return return_curve(Towards(1), CONTROL, config, cohort, 2, "validation")

    whole = curve_of(4, 9)
    joined = ReturnCurve.joined([curve_of(2, seed) for seed in (9, 11)])
    assert joined.as_dict() == whole.as_dict()


def test_terms_count_the_episodes_in_which_they_have_a_value():
    config = environment_config(QUOTA, quota=3)
    curve = return_curve(make_rule("zero"), QUOTA, config, Cohort(5, 2, seed=0), 30, "validation")
    fired, enough, paid = (curve.tests[name][0] for name in (f"{TERM}fired", f"{TERM}enough", RETURN))
    assert fired.min() >= 0 and (paid <= 0).all()
    assert all(value == 1 or value != value for value in enough.tolist())
    told = curve.as_dict()["curves"][f"{TERM}enough"]
    assert [row[0] for row in told] == [None if value != value else value for value in enough.tolist()]


def test_an_examiner_freezes_thresholds_and_weights_and_leaves_the_network_alone():
    settings = {"dataset": "digits", "n_exc": 6, "num_steps": 12, "history_length": 8, "max_rate": 0.05}
    config = environment_config("SNNPlastic-Unsup1-v0", **settings, gain_input_exc=20.0)
    env = PlasticityVectorEnv("SNNPlastic-Unsup1-v0", num_envs=2, **settings, gain_input_exc=20.0)
    env.reset(seed=0)
    for _ in range(3):
        env.run_episode(make_rule("stdp", learning_rate=0.1))
    before = {name: value.clone() for name, value in env.engine.network.state_dict().items()}
    examine = Examiner("SNNPlastic-Unsup1-v0", config, Cohort(2, 0, seed=0), 4, "test")
    first = examine(env.engine.network)
    assert {name: value.tolist() for name, value in examine(env.engine.network).items() if not value.isnan().any()} == {
        name: value.tolist() for name, value in first.items() if not value.isnan().any()
    }
    for name, value in env.engine.network.state_dict().items():
        assert torch.equal(value, before[name]), name
    shown = examine._env.engine.task
    assert shown.config.split == "test" and shown.manifest()["split"] == "test"
    thetas = [value for name, value in examine._env.engine.network.state_dict().items() if name.startswith("theta")]
    kept = [value for name, value in before.items() if name.startswith("theta")]
    assert all(torch.equal(one, other) for one, other in zip(thetas, kept, strict=True))
