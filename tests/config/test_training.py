"""Settings of the trainers that contradict each other: refused in one line, before anything is computed."""

import pytest

from snn_plasticity_gym.config.cli import parse_configs
from snn_plasticity_gym.config.environments import ENVIRONMENTS
from snn_plasticity_gym.config.learning import BASELINES, EXPLORATIONS
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.config.training import A2CConfig, PPOConfig

TRAINERS = [A2CConfig, PPOConfig]
WRONG = [
    (
        {"credit_horizon": 3, "episodes_per_update": 2},
        "credit_horizon must be at most episodes_per_update=2, as an update uses no later rewards, got 3",
    ),
    ({"credit_horizon": 2}, "credit_horizon must be at most episodes_per_update=1"),
    ({"credit_from": 1}, "credit_from must be less than credit_horizon=1, or no reward counts, got 1"),
    (
        {"formula_terms": ("post", "pre*post")},
        "formula_terms is for rule_form formula, got post,pre*post with rule_form network; set rule_form to "
        "formula, or leave formula_terms out",
    ),
    ({"rule_form": "formulas"}, "rule_form must be one of network, formula, got 'formulas'; did you mean 'formula'?"),
    ({"perturb": "all"}, "perturb must be one of last, head, got 'all'"),
    ({"advantage": "rank"}, "advantage must be one of standardised, ranks, got 'rank'; did you mean 'ranks'?"),
    (
        {"mirrored": True},
        "mirrored is for exploration rule, got True with exploration independent; set exploration to rule, or leave "
        "mirrored out",
    ),
    (
        {"common_share": 0.5},
        "common_share is for exploration rule, got 0.5 with exploration independent; set exploration to rule, or "
        "common_share to 0.1",
    ),
    (
        {"common_share": 0.5, "exploration": "rule", "perturb": "head"},
        "common_share is for perturb last, got 0.5 with perturb head; set perturb to last, or common_share to 0.1",
    ),
    (
        {"mirrored": True, "exploration": "rule", "num_envs": 5},
        "mirrored needs an even num_envs, whose lifetimes make pairs, got 5",
    ),
    (
        {"baseline": "lifetimes", "num_envs": 1},
        "exploration rule and baseline lifetimes need num_envs of at least 2, got 1",
    ),
    ({"exploration": "rule", "num_envs": 1}, "exploration rule and baseline lifetimes need num_envs"),
    ({"rule_learning_rate": 0.0}, "rule_learning_rate must be greater than 0, got 0.0"),
    ({"credit_horizon": 0}, "credit_horizon must be greater than or equal to 1, got 0"),
    ({"gamma_lifetime": 0.0}, "gamma_lifetime must be greater than 0"),
    ({"gamma_lifetime": 1.5}, "gamma_lifetime must be"),
    ({"exploration": "gsde"}, f"exploration must be one of {', '.join(EXPLORATIONS)}, got 'gsde'"),
    ({"baseline": "lifetime"}, f"baseline must be one of {', '.join(BASELINES)}, got 'lifetime'; did you mean"),
]


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_contradictions_are_refused_in_one_line(trainer, settings, message):
    with pytest.raises(ConfigError) as error:
        trainer(**settings)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def flags_of(settings):
    texts = {name: ",".join(value) if isinstance(value, tuple) else value for name, value in settings.items()}
    return [f"--{name}={text}" for name, text in texts.items()]


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_flags_that_contradict_each_other_end_the_program_with_one_line(capsys, trainer, settings, message):
    with pytest.raises(SystemExit) as caught:
        parse_configs(trainer, ENVIRONMENTS, flags_of(settings), prog="train")
    out, err = capsys.readouterr()
    assert caught.value.code == 2 and out == ""
    assert err.startswith(f"train: error: {message}") and err.count("\n") == 1


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize(
    "settings",
    [
        {"credit_horizon": 3, "episodes_per_update": 3},
        {"credit_horizon": 1, "episodes_per_update": 3},
        {"mirrored": True, "exploration": "rule", "num_envs": 4},
        {"exploration": "rule", "num_envs": 5},
        {"baseline": "lifetimes", "num_envs": 2},
        {"baseline": "critic", "num_envs": 1},
        {"gamma_lifetime": 1.0},
    ],
)
def test_what_does_not_contradict_itself_is_taken(trainer, settings):
    config = trainer(**settings)
    assert {name: getattr(config, name) for name in settings} == settings


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_plain_design_is_the_default(trainer):
    config = trainer()
    assert (config.exploration, config.mirrored, config.baseline) == ("independent", False, "critic")
    assert (config.credit_horizon, config.gamma_lifetime, config.credit_from) == (1, 1.0, 0)
    assert (config.perturb, config.advantage) == ("last", "standardised")
