"""What the training programs hand on to their learners."""

import pytest

from snn_plasticity_gym.config.environments import Unsup1Config
from snn_plasticity_gym.config.schema import setting_fields
from snn_plasticity_gym.config.training import A2CConfig, ESConfig, PPOConfig
from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.learners.arguments import keyword_settings
from snn_plasticity_gym.learners.evolution import EventES
from snn_plasticity_gym.learners.ppo import EventPPO
from snn_plasticity_gym.trainers.sessions.training_session import _arguments
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env

SMALL = {"dataset": "digits", "n_exc": 4, "num_steps": 6, "history_length": 6}
OTHER = {  # a value of each option that is not its default
    **{"credit_horizon": 2, "gamma_lifetime": 0.5, "credit_from": 1, "nan_policy": "skip", "events_per_episode": 3},
    **{"exploration": "rule", "perturb": "head", "advantage": "ranks", "mirrored": True, "rule_learning_rate": 0.7},
    **{"baseline": "lifetimes", "normalize_returns": True, "loss_weighting": "step", "advantage_scope": "rollout"},
    **{"covariance": "full", "gamma": 0.5, "vf_coef": 0.25, "ent_coef": 0.125, "max_grad_norm": 2.0},
    **{"normalize_advantage": False, "clip_range": 0.4, "n_epochs": 3, "batch_size": 7, "target_kl": 0.5},
}
OF_LAST_LAYERS = {"exploration": "rule", "perturb": "last", "common_share": 0.4}


@pytest.mark.parametrize(
    ("learner", "config_type"), [(EventA2C, A2CConfig), (EventPPO, PPOConfig), (EventES, ESConfig)]
)
def test_every_option_of_a_learner_is_a_setting_that_arrives(learner, config_type):
    names = set(keyword_settings(learner))
    assert names <= OTHER.keys() | OF_LAST_LAYERS.keys()
    for options in (OTHER, OTHER | OF_LAST_LAYERS):
        assert_arrived(learner, config_type, {name: value for name, value in options.items() if name in names})


def assert_arrived(learner, config_type, given):
    """Settings of a program become options of its learner."""
    config = config_type(episodes_per_update=4, num_envs=4, sigma=0.25, head_sizes=(8, 8), **given)
    env_config = Unsup1Config(**SMALL, event_kinds="feature")
    env = make_sb3_env("SNNPlastic-Unsup1-v0", 4, **SMALL, event_kinds="feature")
    model = learner("PlasticityPolicy", env, seed=1, **_arguments(learner, config, env_config))
    own = {info.name for info in setting_fields(learner.options_type)}
    for name, value in given.items():
        arrived = getattr(model.options if name in own else model, name)
        assert (arrived(1.0) if name == "clip_range" else arrived) == value, name
    assert (model.n_steps, model.policy.sigma, model.policy.hidden_sizes) == (4, 0.25, (8, 8))
    assert model.policy.use_kind
