"""The policy in slots and in flat batches."""

import gymnasium
import numpy as np
import pytest
import torch
from toys import SMALL

import snn_plasticity_gym  # noqa: F401
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.policies.policy import PlasticityPolicy


@pytest.fixture
def env():
    return gymnasium.make_vec("SNNPlastic-Unsup1-v0", num_envs=4, **SMALL)


@pytest.fixture
def policy(env):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = PlasticityPolicy(env.single_observation_space, env.single_action_space, lambda _: 1e-3, sigma=0.2)
        torch.nn.init.normal_(made.rule.heads[0].rest[-1].weight)
        return made


def slots(env) -> dict[str, torch.Tensor]:
    """An observation in which lifetimes have different numbers of events, one of them none."""
    observation, _ = env.reset(seed=5)
    for _ in range(8):
        observation, *_ = env.step(np.zeros(env.action_space.shape, dtype=np.float32))
    used = observation["mask"].sum(axis=1)
    observation["mask"][int(used.argmax())] = 0
    assert len(set(observation["mask"].sum(axis=1))) > 1
    return {name: torch.as_tensor(values) for name, values in observation.items()}


def test_log_prob_value_and_entropy_count_used_slots_only(env, policy):
    obs = slots(env)
    actions, values, log_prob = policy(obs)
    mean = policy.get_distribution(obs).mode()
    means, rows = [], obs["mask"].sum(dim=1).tolist()
    for row in range(4):
        used = obs["mask"][row] > 0
        expected = torch.distributions.Normal(mean[row, used], 0.2).log_prob(actions[row, used]).sum()
        torch.testing.assert_close(log_prob[row], expected)
        means.append(mean[row, used])
    assert any(m.abs().max() > 1e-3 for m in means if len(m))
    again, log_prob_again, entropy = policy.evaluate_actions(obs, actions)
    torch.testing.assert_close(again, values)
    torch.testing.assert_close(log_prob_again, log_prob)
    torch.testing.assert_close(entropy, torch.tensor(rows) * policy.entropy)
    assert policy.entropy == pytest.approx(torch.distributions.Normal(0.0, 0.2).entropy().item())
    # What stands in masked slots has no influence.
    noisy = {name: tensor.clone() for name, tensor in obs.items()}
    unused = obs["mask"] == 0
    noisy["history"][unused] = 1
    noisy["weight"][unused] = 0.77
    changed = torch.where(unused, torch.full_like(actions, 9.0), actions)
    for a, b in zip(policy.evaluate_actions(noisy, changed), (values, log_prob, entropy), strict=True):
        torch.testing.assert_close(a, b)


def test_slots_and_flat_batches_give_the_same_means_and_values(env, policy):
    env.reset(seed=2)
    events = env.events()
    while len(events.weight) < 10 or events.lengths.max() > SMALL["events_per_step"]:
        env.apply(torch.zeros(len(events.weight)))
        events = env.events()
    obs = {name: torch.as_tensor(values) for name, values in env._interface.observe().items()}
    flat_mean, flat_value = policy.evaluate_events(events.local_state())
    used = obs["mask"] > 0
    assert int(used.sum()) == len(flat_mean)
    torch.testing.assert_close(policy.get_distribution(obs).mode()[used], flat_mean)
    torch.testing.assert_close(policy.frozen(SMALL["history_length"])(events), flat_mean)
    values = policy.predict_values(obs)
    for row, own in enumerate(flat_value.split(events.lengths.tolist())):
        torch.testing.assert_close(values[row, 0], own.mean() if len(own) else torch.tensor(0.0))


def test_a_lifetime_without_events_has_value_zero_and_log_prob_zero(env, policy):
    obs = slots(env)
    row = int((obs["mask"].sum(dim=1) == 0).nonzero()[0, 0])
    _, values, log_prob = policy(obs)
    assert values[row].item() == 0 and log_prob[row].item() == 0


def test_per_event_log_prob_is_that_of_the_normal_distribution(policy):
    mean, actions = torch.tensor([0.1, -0.9]), torch.tensor([0.3, -1.4])  # the second beyond the clip
    expected = -0.5 * ((actions - mean) / 0.2) ** 2 - np.log(0.2 * np.sqrt(2 * np.pi))
    torch.testing.assert_close(policy.log_prob(mean, actions), expected)


def test_the_critic_has_a_learning_rate_of_its_own(env):
    policy = PlasticityPolicy(
        env.single_observation_space, env.single_action_space, lambda _: 1e-3, critic_lr_scale=5.0
    )
    actor, critic = policy.optimizer.param_groups
    assert (actor["lr"], critic["lr"]) == (1e-3, 5e-3)
    assert {id(p) for p in critic["params"]} == {id(p) for p in policy.rule.critic.parameters()}
    everything = {id(p) for p in policy.parameters()}
    assert {id(p) for group in (actor, critic) for p in group["params"]} == everything


def test_the_frozen_rule_is_a_snapshot(env, policy):
    env.reset(seed=2)
    events = env.events()
    while not len(events.weight):
        env.apply(torch.zeros(0))
        events = env.events()
    rule = policy.frozen(SMALL["history_length"])
    before = rule(events)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1)
    assert torch.equal(rule(events), before)
    assert not torch.equal(policy.frozen(SMALL["history_length"])(events), before)


def test_policy_alone_survives_saving_and_loading(env, policy, tmp_path):
    obs = slots(env)
    policy.save(tmp_path / "policy.pt")
    loaded = PlasticityPolicy.load(tmp_path / "policy.pt")
    assert loaded.sigma == 0.2
    assert torch.equal(loaded.get_distribution(obs).mode(), policy.get_distribution(obs).mode())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"net_arch": [64, 64]}, "takes no net_arch, got [64, 64]: hidden_sizes gives the widths"),
        ({"net_arch": None}, "takes no net_arch"),
        ({"activation_fn": torch.nn.Tanh}, "takes no activation_fn"),
        ({"use_sde": True}, "takes no use_sde, got True: exploration='rule'"),
        ({"log_std_init": -1.0}, "takes no log_std_init, got -1.0: sigma is all of the noise"),
        ({"features_extractor_kwargs": {}}, "takes no features_extractor_kwargs"),
        ({"hidden_size": (8,)}, "unknown argument of PlasticityPolicy 'hidden_size'; did you mean 'hidden_sizes'?"),
    ],
)
def test_arguments_that_would_be_ignored_are_refused_by_name(env, arguments, message):
    with pytest.raises(ConfigError) as error:
        PlasticityPolicy(env.single_observation_space, env.single_action_space, lambda _: 1e-3, **arguments)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_the_optimizer_is_the_one_that_was_asked_for(env):
    spaces = env.single_observation_space, env.single_action_space
    policy = PlasticityPolicy(
        *spaces, lambda _: 0.5, use_sde=False, optimizer_class=torch.optim.SGD, optimizer_kwargs={"momentum": 0.9}
    )
    assert type(policy.optimizer) is torch.optim.SGD and policy.optimizer.param_groups[1]["momentum"] == 0.9
