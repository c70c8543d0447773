"""Arguments of learners, policies, networks and buffers: one line for everything that is refused."""

import dataclasses
import inspect
import math
from typing import Any

import gymnasium
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.save_util import load_from_zip_file, save_to_zip_file
from toys import SMALL, bandit

import snn_plasticity_gym  # noqa: F401
from snn_plasticity_gym.config.learning import EventOptions, PPOOptions
from snn_plasticity_gym.config.schema import SettingInfo, setting_fields
from snn_plasticity_gym.config.training import A2CConfig, ESConfig, PPOConfig
from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.learners.arguments import ALL, FIXED, NAMES, OTHERS, PASSED_ON, keyword_settings
from snn_plasticity_gym.learners.event_buffer import EventRolloutBuffer
from snn_plasticity_gym.learners.evolution import EventES
from snn_plasticity_gym.learners.exploration import RuleNoise
from snn_plasticity_gym.learners.ppo import EventPPO
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.front import SpikeFront
from snn_plasticity_gym.policies.heads import Head
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.utils.nonfinite import Guard

ID = "SNNPlastic-Unsup1-v0"
LEARNERS = {"a2c": (EventA2C, A2CConfig), "ppo": (EventPPO, PPOConfig), "es": (EventES, ESConfig)}
SLOTS = {"history": spaces.Box(0, 1, (4, 2, 6))}
ALL_NAMES = {
    *(name for kind in ALL for info in setting_fields(kind) for name in (info.name, *info.was)),
    *(*FIXED, *PASSED_ON, "policy", "env", "learning_rate", "n_steps", "seed", "self", "_init_setup_model"),
}
NOT_NUMBERS = [math.nan, math.inf, -math.inf, "1", None, True, (1,)]


@pytest.fixture(scope="module")
def env():
    return bandit(6)


def own_settings(name: str) -> list[tuple[str, SettingInfo]]:
    """Arguments of a learner that are settings of its trainer, by argument."""
    learner, config = LEARNERS[name]
    arguments = inspect.signature(learner).parameters.keys() | keyword_settings(learner).keys()
    settings = {info.name: info for info in setting_fields(config)}
    pairs = [(argument, NAMES.get(argument, argument)) for argument in sorted(arguments.difference(OTHERS))]
    return [(argument, settings[setting]) for argument, setting in pairs if setting in settings]


EVERY = [(name, *pair) for name in LEARNERS for pair in own_settings(name)]


def refusal(make: Any, *arguments: Any, **named: Any) -> str:
    """The one line that wrong arguments get."""
    with pytest.raises(ValueError) as caught:
        make(*arguments, **named)
    message = str(caught.value)
    assert message and "\n" not in message
    return message


def values_it_cannot_take(info: SettingInfo) -> list[Any]:
    if info.kind is bool:
        return [1, "yes", None]
    if info.kind is str:
        return [1, None, "", "nonsense"]
    wrong = [value for value in NOT_NUMBERS if value is not None or not info.optional]
    wrong += [1.5] if info.kind is int else []
    return wrong + [bound + {"ge": -1, "gt": 0, "le": 1, "lt": 0}[key] for key, bound in info.bounds]


@pytest.mark.parametrize(("name", "argument", "info"), EVERY, ids=[f"{name}-{argument}" for name, argument, _ in EVERY])
def test_no_argument_of_a_learner_takes_what_its_setting_does_not(name, argument, info, env):
    for value in values_it_cannot_take(info):
        message = refusal(LEARNERS[name][0], "PlasticityPolicy", env, **{argument: value})
        assert message.startswith(f"{argument} must be ") and f"got {value!r}" in message


def test_all_arguments_of_learners_but_a_few_are_settings():
    for learner, config in LEARNERS.values():
        settings = {info.name for info in setting_fields(config)}
        assert keyword_settings(learner).keys() <= settings
        unchecked = {name for name in inspect.signature(learner).parameters if NAMES.get(name, name) not in settings}
        assert unchecked == {"policy", "options", "_init_setup_model"}


@pytest.mark.parametrize("name", LEARNERS)
def test_docstrings_list_all_options_with_their_limits(name):
    learner, _ = LEARNERS[name]
    text = " ".join(inspect.getdoc(learner).partition("Options:")[2].split())
    for info in keyword_settings(learner).values():
        assert f"{info.name}: {info.help} (default: " in text
    assert "credit_horizon: Episodes whose rewards" in text and "(default: 1 episodes; >= 1)" in text
    assert ("one of: independent, rule" in text) == (name != "es") and ("advantage_scope" in text) == (name == "ppo")


# What Stable-Baselines3's A2C and PPO know and learners of events do not: the line says what does instead.
OF_SB3 = [
    ({"gae_lambda": 0.95}, "gae_lambda cannot be set in {}, got 0.95; returns are sums of rewards; see gamma"),
    ({"use_sde": True}, "use_sde cannot be set in {}, got True; the exploration of whole rules is exploration='rule'"),
    ({"sde_sample_freq": 4}, "sde_sample_freq cannot be set in {}, got 4;"),
    ({"use_rms_prop": True}, "use_rms_prop cannot be set in {}, got True; another optimiser is policy_kwargs="),
    ({"rms_prop_eps": 1e-3}, "rms_prop_eps cannot be set in {}, got 0.001;"),
    ({"rollout_buffer_class": EventRolloutBuffer}, "rollout_buffer_class cannot be set in {}, got <class"),
    ({"rollout_buffer_kwargs": {"seed": 1}}, "rollout_buffer_kwargs cannot be set in {}, got {{'seed': 1}}; "),
    ({"clip_range_vf": 0.2}, "clip_range_vf cannot be set in {}, got 0.2; the value loss is not clipped"),
    ({"monitor_wrapper": False}, "monitor_wrapper cannot be set in {}, got False; "),
    ({"supported_action_spaces": ()}, "unknown argument 'supported_action_spaces'; "),
    ({"explorations": "rule"}, "unknown argument 'explorations'; did you mean 'exploration'?"),
    ({"normalise_returns": True}, "unknown argument 'normalise_returns'; did you mean 'normalize_returns'?"),
]


@pytest.mark.parametrize("learner", [EventA2C, EventPPO])
@pytest.mark.parametrize(("arguments", "start"), OF_SB3, ids=[next(iter(given)) for given, _ in OF_SB3])
def test_arguments_that_no_learner_of_events_has_are_refused_by_name(learner, arguments, start, env):
    message = refusal(learner, "PlasticityPolicy", env, **arguments)
    assert message.startswith(start.format(learner.__name__))


def test_what_only_says_what_holds_anyway_is_taken(env):
    off = {"gae_lambda": 1.0, "use_sde": False, "sde_sample_freq": -1, "use_rms_prop": False}
    assert EventA2C("PlasticityPolicy", env, **off).options == EventOptions()
    assert EventPPO("PlasticityPolicy", env, **off).options == PPOOptions()
    EventES("PlasticityPolicy", env, exploration="rule", perturb="head", baseline="lifetimes", **off)


def test_another_optimiser_works_as_the_refusal_says(env):
    rms = {"optimizer_class": torch.optim.RMSprop, "optimizer_kwargs": {"eps": 1e-3}}
    for learner in (EventA2C, EventPPO):
        optimizer = learner("PlasticityPolicy", env, policy_kwargs=rms).policy.optimizer
        assert isinstance(optimizer, torch.optim.RMSprop) and optimizer.defaults["eps"] == 1e-3


ELSEWHERE = [("a2c", "clip_range", 0.2), ("a2c", "advantage_scope", "rollout"), ("ppo", "covariance", "full")]
ELSEWHERE += [("es", name, value) for name, value in (("ent_coef", 0.1), ("events_per_episode", 3), ("gamma", 0.9))]
ELSEWHERE += [("es", "learning_rate", 1e-3), ("es", "mirrored", True), ("es", "clip_range", 0.1)]


@pytest.mark.parametrize(("name", "argument", "value"), ELSEWHERE)
def test_arguments_of_other_learners_mean_nothing(name, argument, value, env):
    learner = LEARNERS[name][0]
    message = refusal(learner, "PlasticityPolicy", env, **{argument: value})
    assert message.startswith(f"{argument} has no effect in {learner.__name__}") and message.endswith("leave it out")


@given(st.text(min_size=1).filter(lambda name: name not in ALL_NAMES), st.integers())
def test_no_other_name_is_taken(name, value):
    message = refusal(EventPPO, "PlasticityPolicy", ID, **{name: value})
    assert message.startswith("unknown argument ")


def test_old_names_are_taken_with_a_warning(env, caplog):
    model = EventA2C("PlasticityPolicy", env, events_per_image=7)
    assert model.options.events_per_episode == model.rollout_buffer.options.events_per_episode == 7
    assert caplog.messages == ["events_per_image is now called events_per_episode; the old name is still taken"]
    message = refusal(EventA2C, "PlasticityPolicy", env, events_per_image=7, events_per_episode=8)
    assert message.startswith("events_per_image is an old name of events_per_episode; give")


def test_options_arrive_where_they_are_used_and_cannot_be_changed(env):
    given = {"exploration": "rule", "perturb": "head", "mirrored": True, "credit_horizon": 2, "credit_from": 1}
    model = EventPPO("PlasticityPolicy", env, n_steps=4, nan_policy="skip", advantage_scope="rollout", **given)
    assert model.options == PPOOptions(nan_policy="skip", advantage_scope="rollout", **given)
    assert model.rollout_buffer.options is model.options and model.guard.skips and model._explore._mirrored
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.options.credit_horizon = 3
    plain = EventA2C("PlasticityPolicy", env)
    assert (plain.gamma, plain.ent_coef, plain.vf_coef, plain.max_grad_norm) == (1.0, 0.0, 0.5, 0.5)
    assert plain.normalize_advantage and plain.options == EventOptions()


def test_loading_may_give_options_anew(tmp_path, env):
    EventPPO("PlasticityPolicy", env, n_epochs=2, clip_range=0.3).save(tmp_path / "model.zip")
    loaded = EventPPO.load(tmp_path / "model.zip", env=env, nan_policy="skip", events_per_episode=5)
    assert loaded.options == PPOOptions(nan_policy="skip", events_per_episode=5)
    assert loaded.guard.skips and loaded.rollout_buffer.options is loaded.options
    assert (loaded.n_epochs, loaded.clip_range(1.0)) == (2, 0.3)
    assert "perturb must be one of last, head, got 'all'" in refusal(
        EventPPO.load, tmp_path / "model.zip", env=env, perturb="all"
    )


def test_zips_of_earlier_versions_hold_options_among_attributes(tmp_path, env, caplog):
    """They had every option as an attribute of its own, and those of the buffer in rollout_buffer_kwargs."""
    given = {"exploration": "rule", "mirrored": True, "rule_learning_rate": 0.7, "nan_policy": "skip"}
    buffer = {"events_per_image": 3, "credit_horizon": 2, "gamma_lifetime": 0.5, "credit_from": 0, "seed": 9}
    model = EventA2C("PlasticityPolicy", env, n_steps=2, seed=9)
    model.save(tmp_path / "model.zip")
    data, parameters, variables = load_from_zip_file(tmp_path / "model.zip")
    del data["options"]
    data |= {"guard": Guard("skip"), "rollout_buffer_kwargs": buffer, "rollout_buffer_class": EventRolloutBuffer}
    data |= {name: value for name, value in given.items() if name != "nan_policy"}
    save_to_zip_file(tmp_path / "old.zip", data, parameters, variables)
    loaded = EventA2C.load(tmp_path / "old.zip", env=env)
    credit = {"credit_horizon": 2, "gamma_lifetime": 0.5, "events_per_episode": 3}
    assert loaded.options == EventOptions(**given, **credit)
    assert "exploration" not in vars(loaded) and isinstance(loaded._explore, RuleNoise)
    loaded.learn(2 * 6 * SMALL["num_steps"])


# Each: the learner, its arguments, and what the line must name: argument, value, what is allowed.
BAD = [
    # What settings do not know
    ("a2c", {"policy": "MlpPolicy"}, ["policy must be 'PlasticityPolicy'", "got 'MlpPolicy'"]),
    ("a2c", {"policy": torch.nn.Linear}, ["policy must be 'PlasticityPolicy'", "Linear"]),
    ("ppo", {"policy": None}, ["policy must be 'PlasticityPolicy'", "got None"]),
    ("a2c", {"env": None}, ["env must be an environment or its id, got None"]),
    ("a2c", {"seed": -1}, ["seed must be", "greater than or equal to 0", "got -1"]),
    ("es", {"seed": 2**32}, ["seed must be", "less than or equal to 4294967295", "got 4294967296"]),
    ("ppo", {"seed": 1.5}, ["seed must be", "integer", "None", "got 1.5"]),
    ("ppo", {"seed": math.nan}, ["seed must be", "got nan"]),
    ("a2c", {"device": "tpu0"}, ["device must be one of cpu", "got 'tpu0'"]),
    ("es", {"device": 1.5}, ["device must be one of cpu", "got 1.5"]),
    ("a2c", {"policy_kwargs": 3}, ["policy_kwargs must be a dict", "got 3"]),
    ("ppo", {"policy_kwargs": {"sigma": -1.0}}, ["sigma must be greater than 0, got -1.0"]),
    # What SB3 gives further names
    ("a2c", {"learning_rate": "1e-3"}, ["learning_rate must be", "number", "got '1e-3'"]),
    ("es", {"gamma_lifetime": 1.5}, ["gamma_lifetime must be", "less than or equal to 1, got 1.5"]),
    # Contradictions
    ("a2c", {"credit_horizon": 3, "n_steps": 2}, ["credit_horizon must be at most n_steps=2", "got 3"]),
    ("ppo", {"credit_horizon": 2, "n_steps": 2, "credit_from": 2}, ["credit_from must be less than credit_horizon=2"]),
    ("a2c", {"mirrored": True}, ["mirrored is for exploration rule, got True with exploration independent"]),
    ("ppo", {"num_envs": 3, "mirrored": True, "exploration": "rule"}, ["even num_envs", "got 3"]),
    ("a2c", {"num_envs": 1, "exploration": "rule"}, ["exploration rule", "num_envs of at least 2, got 1"]),
    ("a2c", {"num_envs": 1, "baseline": "lifetimes"}, ["baseline lifetimes", "num_envs of at least 2, got 1"]),
    ("es", {"n_steps": 3, "credit_horizon": 2}, ["n_steps must be a multiple of credit_horizon=2", "got 3"]),
    ("es", {"num_envs": 3}, ["at least 4 rules", "num_envs times n_steps / credit_horizon", "got 3"]),
    ("es", {"exploration": "independent"}, ["exploration is 'rule' in EventES, got 'independent'"]),
    ("es", {"perturb": "last"}, ["perturb is 'head' in EventES, got 'last'; leave it out"]),
    ("es", {"baseline": "critic"}, ["baseline is 'lifetimes' in EventES, got 'critic'"]),
]


@pytest.mark.parametrize(("name", "arguments", "parts"), BAD, ids=[f"{name}-{given}" for name, given, _ in BAD])
def test_bad_arguments_of_learners_are_refused_in_one_line(name, arguments, parts, env):
    given = dict(arguments)
    num_envs = given.pop("num_envs", 6)
    given = {"policy": "PlasticityPolicy", "env": bandit(num_envs) if num_envs != 6 else env} | given
    message = refusal(LEARNERS[name][0], **given)
    for part in parts:
        assert part in message


def test_several_mistakes_are_named_together(env):
    message = refusal(EventA2C, "PlasticityPolicy", env, n_steps=0, gamma=2.0)
    assert "n_steps must be" in message and "gamma must be" in message


def test_nothing_is_made_before_arguments_are_checked(monkeypatch):
    made = []
    monkeypatch.setattr(gymnasium, "make", lambda *arguments, **named: made.append(arguments))
    assert "gamma must be" in refusal(EventA2C, "PlasticityPolicy", ID, gamma=2.0)
    assert not made


def test_schedules_are_functions_and_numbers_may_be_numpys(env):
    model = EventPPO("PlasticityPolicy", env, learning_rate=lambda left: 1e-3 * left, clip_range=lambda left: left)
    assert model.policy.optimizer.param_groups[0]["lr"] == 1e-3
    assert "gamma must be" in refusal(EventPPO, "PlasticityPolicy", env, gamma=lambda left: left)
    EventA2C("PlasticityPolicy", env, n_steps=torch.tensor([2]).numpy()[0], gamma=torch.ones(1).numpy()[0])


def test_loading_asks_for_as_many_lifetimes_as_the_rules_need(tmp_path, env):
    EventA2C("PlasticityPolicy", env, exploration="rule").save(tmp_path / "model.zip")
    message = refusal(EventA2C.load, tmp_path / "model.zip", env=bandit(1))
    assert message == "exploration rule compares lifetimes, so it needs at least 2, got 1"
    EventES("PlasticityPolicy", bandit(2), n_steps=2).save(tmp_path / "es.zip")
    assert EventES.load(tmp_path / "es.zip", env=bandit(2)).n_steps == 2


BAD_POLICY = [
    ({"sigma": 0.0}, "sigma must be greater than 0, got 0.0"),
    ({"sigma": math.nan}, "sigma must be a finite number, greater than 0, got nan"),
    ({"sigma": "0.1"}, "sigma must be a valid number, greater than 0, got '0.1'"),
    ({"sigma": None}, "sigma must be a valid number, greater than 0, got None"),
    ({"use_kind": 1}, "use_kind must be a valid boolean, got 1"),
    ({"hidden_sizes": 8}, "hidden_sizes must be a list of integers, greater than or equal to 1, got 8"),
    ({"hidden_sizes": ()}, "hidden_sizes must have 1 to 16 entries, got 0"),
    ({"hidden_sizes": (8,) * 17}, "hidden_sizes must have 1 to 16 entries, got 17"),
    ({"hidden_sizes": (8, 0)}, "hidden_sizes[1] must be greater than or equal to 1, got 0"),
    ({"hidden_sizes": (8, 2.5)}, "hidden_sizes[1] must be a valid integer, got 2.5"),
    (
        {"hidden_sizes": (1 << 20,)},
        "hidden_sizes[0] must be greater than or equal to 1 and less than or equal to 16384, got 1048576",
    ),
    ({"channels": (16,)}, "channels must have 2 entries, got 1"),
    (
        {"channels": (16, 0)},
        "channels[1] must be greater than or equal to 1 and less than or equal to 16384, got 0",
    ),
    ({"channels": (math.inf, 32)}, "channels[0] must be a valid integer, got inf"),
    ({"kernel_sizes": 5}, "kernel_sizes must be a list of integers, got 5"),
    ({"kernel_sizes": (5, 5, 5)}, "kernel_sizes must have 2 entries, got 3"),
    ({"kernel_sizes": (5.0, 5)}, "kernel_sizes[0] must be a valid integer, got 5.0"),
    ({"kernel_sizes": (4, 5)}, "kernel_sizes must be odd and positive, got (4, 5)"),
    ({"kernel_sizes": (9, 9)}, "kernel_sizes must satisfy k1 + k2 - 1 <= 9 (table size), got (9, 9)"),
    ({"critic_lr_scale": 0.0}, "critic_lr_scale must be greater than 0, got 0.0"),
    ({"critic_lr_scale": math.inf}, "critic_lr_scale must be a finite number, greater than 0, got inf"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_POLICY, ids=[str(arguments) for arguments, _ in BAD_POLICY])
def test_bad_arguments_of_the_policy(arguments, message, env):
    assert refusal(PlasticityPolicy, env.observation_space, env.action_space, lambda _: 1e-3, **arguments) == message
    assert refusal(EventA2C, "PlasticityPolicy", env, policy_kwargs=arguments) == message


def test_the_policy_wants_the_spaces_of_a_plasticity_environment(env):
    box = spaces.Box(-1.0, 1.0, (3,))
    message = refusal(PlasticityPolicy, box, env.action_space, lambda _: 1e-3)
    assert message.startswith("observation_space must be a Dict with history, weight, group, kind, mask")
    for action_space in (box, spaces.Discrete(3)):
        message = refusal(PlasticityPolicy, env.observation_space, action_space, lambda _: 1e-3)
        assert message.startswith("action_space must be a Box with a number for each slot, got ")


BAD_NETWORK = [
    ({"num_groups": 0}, "num_groups must be greater than or equal to 1 and less than or equal to 64, got 0"),
    ({"num_groups": 65}, "num_groups must be greater than or equal to 1 and less than or equal to 64, got 65"),
    (
        {"num_groups": True},
        "num_groups must be a valid integer, greater than or equal to 1 and less than or equal to 64",
    ),
    ({"use_kind": "no"}, "use_kind must be a valid boolean, got 'no'"),
    ({"extra_keys": ("my colour",)}, "extra_keys must be names of local scalars, each once, got ('my colour',)"),
    ({"extra_keys": ("layer", "layer")}, "extra_keys must be names of local scalars, each once"),
    ({"extra_keys": math.nan}, "extra_keys must be"),
    ({"sigma": 0.0}, "sigma must be greater than 0, got 0.0"),
    ({"head": 3}, "head must be a valid string, got 3"),
    ({"head": "mine", "formula_terms": ()}, "a formula has no head, got head 'mine' and formula_terms"),
    ({"hidden_sizes": (8, -1)}, "hidden_sizes[1] must be"),
    ({"channels": None}, "channels must be a list of integers"),
    ({"kernel_sizes": (3, math.nan)}, "kernel_sizes[1] must be"),
]


@pytest.mark.parametrize(("arguments", "start"), BAD_NETWORK, ids=[str(arguments) for arguments, _ in BAD_NETWORK])
def test_bad_shapes_of_rules(arguments, start):
    assert refusal(Architecture, **arguments).startswith(start)


def test_parts_of_networks_check_what_is_theirs():
    assert refusal(Head, 4, 1, (8, 0), 1.0).startswith("hidden_sizes[1] must be")
    assert refusal(SpikeFront, (4, -4)).startswith("channels[1] must be")


BUFFER: dict[str, Any] = {"buffer_size": 2, "observation_space": spaces.Dict(SLOTS), "action_space": None}
BAD_BUFFER = [
    ({"buffer_size": 0}, "buffer_size must be greater than or equal to 1, got 0"),
    ({"buffer_size": 1.5}, "buffer_size must be a valid integer, greater than or equal to 1, got 1.5"),
    ({"n_envs": 0}, "n_envs must be greater than or equal to 1, got 0"),
    ({"n_envs": math.nan}, "n_envs must be"),
    ({"gamma": 1.5}, "gamma must be greater than 0 and less than or equal to 1, got 1.5"),
    ({"gamma": math.nan}, "gamma must be a finite number"),
    (
        {"options": EventOptions(credit_horizon=3)},
        "credit_horizon must be at most buffer_size=2, as an update uses no later rewards, got 3",
    ),
    ({"seed": -1}, "seed must be greater than or equal to 0 and less than or equal to 4294967295, got -1"),
    ({"seed": None}, "seed must be a valid integer"),
    ({"observation_space": spaces.Box(0, 1, (3,))}, "observation_space must be a Dict with history, as plasticity"),
]
BAD_OPTIONS = [
    ({"gamma_lifetime": 0.0}, "gamma_lifetime must be greater than 0 and less than or equal to 1, got 0.0"),
    ({"events_per_episode": -1}, "events_per_episode must be greater than or equal to 0, got -1"),
    ({"events_per_episode": math.inf}, "events_per_episode must be"),
    ({"credit_horizon": 0}, "credit_horizon must be greater than or equal to 1, got 0"),
    ({"credit_horizon": 2, "credit_from": 2}, "credit_from must be less than credit_horizon=2"),
    ({"credit_from": -1}, "credit_from must be greater than or equal to 0, got -1"),
    ({"mirrored": True}, "mirrored is for exploration rule, got True with exploration independent"),
]


@pytest.mark.parametrize(("arguments", "start"), BAD_OPTIONS, ids=[str(arguments) for arguments, _ in BAD_OPTIONS])
def test_bad_options(arguments, start):
    assert refusal(EventOptions, **arguments).startswith(start)


@pytest.mark.parametrize(("arguments", "start"), BAD_BUFFER, ids=[str(arguments) for arguments, _ in BAD_BUFFER])
def test_bad_arguments_of_the_buffer(arguments, start):
    assert refusal(EventRolloutBuffer, **(BUFFER | arguments)).startswith(start)
