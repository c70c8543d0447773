"""A sample of real events: uniform, complete where it can be, and answerable by any rule."""

import pytest
import torch

from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.evaluation.event_sample import sample_events
from snn_plasticity_gym.rules.registry import make_rule

UNSUP = "SNNPlastic-Unsup1-v0"
SMALL = {
    "dataset": "digits",
    "n_exc": 5,
    "num_steps": 12,
    "history_length": 8,
    "max_rate": 0.02,
    "gain_input_exc": 30.0,
}


def seen_by(env_id: str, settings: dict, rule, networks: int, images: int, seed: int) -> list[tuple]:
    """All events of a life, one by one: projection, weight, history, kind, group, extras, answer."""
    env = PlasticityVectorEnv(env_id, num_envs=networks, **settings)
    env.reset(seed=seed)
    rows = []
    for _ in range(images):
        while (events := env.events()) is not None:
            answer = rule(events)
            columns = (events.projection, events.weight, events.history().flatten(1), events.kind, events.group)
            columns = (*columns, events.extras, answer.clamp(-1, 1))
            rows += list(zip(*(column.tolist() for column in columns), strict=True))
            env.apply(answer)
        env.finish()
    return rows


@pytest.mark.parametrize(
    ("env_id", "settings"),
    [
        (UNSUP, SMALL),
        (UNSUP, SMALL | {"event_kinds": "split"}),
        ("SNNPlastic-Semi-v0", {"dataset": "digits", "hidden_sizes": (6,), "third_factor": "feedback", "w_init": 6.0}),
    ],
)
def test_a_large_sample_is_every_event(env_id, settings):
    rule = make_rule("stdp")
    sample = sample_events(rule, env_id, environment_config(env_id, **settings), 2, 2, 10**6, seed=3)
    events = sample.events
    columns = (events.projection, events.weight, events.history().flatten(1), events.kind, events.group)
    rows = list(zip(*(column.tolist() for column in (*columns, events.extras, sample.delta_d)), strict=True))
    expected = seen_by(env_id, settings, rule, 2, 2, seed=3)
    assert sorted(rows) == sorted(expected) and sample.total.sum() == len(expected) > 500
    assert sample.network.unique().tolist() == [0, 1]
    torch.testing.assert_close(rule(events).clamp(-1, 1), sample.delta_d)  # the sample is a batch like any other
    assert [site.name for site in sample.sites] == [p.name for p in _plastic(env_id, settings)]


def test_networks_of_a_sample_differ_where_lifetimes_learn_in_a_common_one():
    configs = [environment_config(UNSUP, **SMALL, common_network=common) for common in (False, True)]
    apart, sampled = (sample_events(make_rule("stdp"), UNSUP, config, 2, 1, 10**6, seed=3) for config in configs)
    assert torch.equal(apart.events.weight, sampled.events.weight) and len(apart.events.weight) > 100


def _plastic(env_id: str, settings: dict):
    engine = PlasticityVectorEnv(env_id, num_envs=1, **settings).engine
    return [p for p in engine.network.projections if p.plasticity is not None]


def test_a_small_sample_is_that_of_the_smallest_keys():
    """Bottom-k sampling: the keys are drawn anew here, and the events that have the smallest must be the sample."""
    config, rule, calls = environment_config(UNSUP, **SMALL), make_rule("random"), []

    def spy(events):
        calls.append((events.projection, rule(events)))
        return calls[-1][1]

    sample = sample_events(spy, UNSUP, config, 2, 2, 30, seed=4)
    generator = torch.Generator().manual_seed(4)
    keys = torch.cat([torch.rand(len(answers), generator=generator) for _, answers in calls])
    projection, answers = (torch.cat(columns) for columns in zip(*calls, strict=True))
    for place in range(2):
        mine = (projection == place).nonzero().squeeze(1)
        chosen = mine[keys[mine].argsort()[:30]]
        expected = answers[chosen].clamp(-1, 1).sort().values
        torch.testing.assert_close(sample.delta_d[sample.of(place)].sort().values, expected)
        assert sample.total[place] == len(mine)
    assert max(sample.total) > 300


def test_part_of_a_sample_is_a_sample():
    config = environment_config(UNSUP, **SMALL)
    sample = sample_events(make_rule("stdp"), UNSUP, config, 2, 2, 50, seed=0)
    part = sample.take((sample.network == 1).nonzero().squeeze(1))
    assert 0 < len(part.delta_d) < len(sample.delta_d) and (part.network == 1).all()
    torch.testing.assert_close(make_rule("stdp")(part.events).clamp(-1, 1), part.delta_d)
