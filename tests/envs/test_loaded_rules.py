"""Learned rules as they are loaded from files: they live whole episodes in compiled loops, in networks they fit."""

import pytest
from lives import DIEHL_COOK, assert_same_lives, bold_rule, by_events, formula

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.policies.learned_rule import LearnedRule
from snn_plasticity_gym.policies.rule_description import describe
from snn_plasticity_gym.rules import make_rule
from snn_plasticity_gym.rules.distilled import DistilledRule, Term

ONE, TWO = "SNNPlastic-Unsup1-v0", "SNNPlastic-Unsup2-v0"


def loaded(env: PlasticityVectorEnv, kind: str) -> LearnedRule:
    """A rule with a head for each group of the environment, as `load_rule` returns it."""
    frozen = formula(env, ["pre", "post*x20", "w"]) if kind == "formula" else bold_rule(env)
    description = describe(frozen.network.architecture, groups=env.engine.heads, history_length=frozen.history_length)
    return LearnedRule(description, frozen.network)


@pytest.mark.parametrize("kind", ["formula", "heads"])
@pytest.mark.parametrize("env_id", [ONE, TWO])
def test_a_loaded_rule_lives_whole_images_as_by_events(env_id, kind):
    lived = assert_same_lives(env_id, DIEHL_COOK, lambda env: loaded(env, kind))
    assert lived.moved > 0.001


@pytest.mark.parametrize("kind", ["formula", "heads", "distilled"])
@pytest.mark.parametrize("way", ["whole", "by events"])
def test_events_of_a_group_without_a_head_are_refused(kind, way):
    one, two = (PlasticityVectorEnv(env_id, num_envs=1, **DIEHL_COOK) for env_id in (ONE, TWO))
    for env in (one, two):
        env.reset(seed=1)
    rule = DistilledRule([[Term(0.5, ("post",))]], 1.0, ()) if kind == "distilled" else loaded(one, kind)
    refused = rule if way == "whole" else by_events(rule)
    one.run_episode(refused)
    two.run_episode(make_rule("zero"))  # a reset has taken its first step; the next episode may be whole
    with pytest.raises(ConfigError, match=r"is 1, and events are of more groups of synapses; "):
        for _ in range(3):
            two.run_episode(refused)
    if kind != "distilled":
        two.reset(seed=1)
        two.run_episode(rule.for_groups(two.engine.heads))
