"""Evolution strategies: what they find, that they are functions of seed and fitness, and their formulas by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_plasticity_gym.config.evolve import STRATEGIES
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.learners.strategies import BLEND, Genetic, Multiplicative, OpenAIES, Search, make_strategy

TARGET = np.linspace(0.5, 2.0, 12)


def search(**changes):
    size = len(TARGET)
    given = {"start": np.ones(size), "low": np.full(size, -3.0), "high": np.full(size, 3.0), "population": 24}
    given |= {"sigma": 0.3, "step_size": 0.05, "elites": 0, "seed": 4}
    return Search(**(given | changes))


def fitness(individuals):
    return -np.square(individuals - TARGET).sum(axis=1)


SETTINGS = {
    "cma": {},
    "cma-diagonal": {},
    "openai-es": {"sigma": 0.1},
    "genetic": {"population": 60, "elites": 4, "sigma": 0.1},
    "multiplicative": {"sigma": 0.1, "step_size": 0.5},
}


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("sign", [1, -1], ids=["up", "down"])
def test_the_top_of_a_hill_is_found_and_left_when_the_sign_is_wrong(name, sign):
    strategy = make_strategy(name, search(**SETTINGS[name]))
    first = fitness(strategy.ask())
    for _ in range(150):
        strategy.tell(sign * first)
        first = fitness(strategy.ask())
    reached = fitness(strategy.centre[None])[0]
    assert (reached > -0.3) if sign > 0 else (reached < -5.0)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_that_is_told_the_same_again_is_the_same(name):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, other, different = (make_strategy(name, search(seed=seed)) for seed in (7, 7, 8))
    for _ in range(5):
        for strategy in (one, different):
            strategy.tell(fitness(strategy.ask()))
    other.replay(one.fitness_history)
    assert np.array_equal(one.ask(), other.ask()) and np.array_equal(one.centre, other.centre)
    assert not np.array_equal(one.centre, different.centre)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


@settings(max_examples=25)
@given(name=st.sampled_from(STRATEGIES), sigma=st.floats(0.01, 50.0), seed=st.integers(0, 99))
def test_individuals_stay_within_the_limits(name, sigma, seed):
    strategy = make_strategy(name, search(sigma=sigma, seed=seed))
    for _ in range(3):
        asked = strategy.ask()
        assert asked.shape == (24, 12) and np.abs(asked).max() <= 3.0
        strategy.tell(fitness(asked))
        assert np.abs(strategy.centre).max() <= 3.0


def test_the_gradient_of_mirrored_ranks_by_hand():
    """One step of Adam goes by the learning rate against the sign of its gradient."""
    strategy = OpenAIES(search(sigma=0.1))
    before = strategy.centre.copy()
    asked = strategy.ask()
    drawn = (asked - before) / 0.1
    np.testing.assert_allclose(drawn[:12], -drawn[12:], atol=1e-9)
    worth = fitness(asked)
    ranks = worth.argsort().argsort() - 11.5
    slope = (ranks[:, None] * drawn).sum(axis=0)
    strategy.tell(worth)
    np.testing.assert_allclose(strategy.centre - before, 0.05 * np.sign(slope), rtol=1e-4)


def test_weights_are_scaled_by_the_published_formula():
    start = np.array([0.5, -1.0, 2.0])
    strategy = Multiplicative(search(start=start, low=-9 * np.ones(3), high=9 * np.ones(3), sigma=0.1, step_size=1.0))
    asked = strategy.ask()
    epsilon = asked / start - 1.0
    worth = asked.sum(axis=1)
    strategy.tell(worth)
    z = (worth - worth.mean()) / (worth.std() + 1e-8)
    np.testing.assert_allclose(strategy.centre, start * (1.0 + (z[:, None] * epsilon).mean(axis=0)))
    assert (np.sign(strategy.centre) == np.sign(start)).all()


def test_children_of_a_blend_lie_around_their_parents():
    """Between them, or beyond either end by at most half their distance; their mean is that of the parents."""
    strategy = Genetic(search())
    one, other = np.zeros(1000), np.ones(1000)
    strategy._mate(one, other)
    assert one.min() < -0.4 and one.max() > 1.4 and np.abs(one - 0.5).max() <= 0.5 + BLEND
    np.testing.assert_allclose(one + other, 1.0)


def test_elites_go_on_as_they_are():
    strategy = Genetic(search(elites=3))
    asked = strategy.ask()
    worth = fitness(asked)
    strategy.tell(worth)
    assert np.array_equal(strategy.ask()[:3], asked[np.argsort(-worth)[:3]])


def test_tournaments_favour_the_fit():
    strategy = Genetic(search(population=400))
    worth = np.arange(400.0)
    chosen = strategy._selected(worth)
    assert 300 < chosen.mean() < 340  # the expected largest of four of 400 is 320


def test_a_genetic_search_needs_limits():
    with pytest.raises(ConfigError, match="make both finite"):
        Genetic(search(high=np.full(12, np.inf)))
