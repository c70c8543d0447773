"""EventPPO: its loss by hand, what it learns on a bandit, minibatches."""

import math

import pytest
import torch
from toys import QUICK_FRONT, QUICK_HEADS, SMALL, BanditEnv, bandit, bandit_answers

from snn_plasticity_gym.config.learning import PPOOptions
from snn_plasticity_gym.learners import rule_steps
from snn_plasticity_gym.learners.event_buffer import EventSamples
from snn_plasticity_gym.learners.event_means import event_weights
from snn_plasticity_gym.learners.on_policy import EventLearner
from snn_plasticity_gym.learners.ppo import EventPPO, ppo_loss
from snn_plasticity_gym.utils.distributed import World
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env

ID = "SNNPlastic-Unsup2-v0"


def small_model(**arguments) -> EventPPO:
    settings = {"seed": 0, "batch_size": 300, "n_epochs": 1, "policy_kwargs": QUICK_HEADS} | arguments
    return EventPPO("PlasticityPolicy", make_sb3_env(ID, 3, **SMALL), **settings)


def test_loss_equals_a_hand_computed_example():
    samples = EventSamples(
        state=None,
        actions=None,
        log_probs=torch.zeros(5),
        returns=torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0]),
        advantages=torch.tensor([2.0, 2.0, -2.0, -2.0, 1.0]),
        step=None,
    )
    ratio = torch.tensor([1.5, 0.5, 1.5, 0.5, 1.1])
    # min(r A, clip(r) A) with eps 0.2: min(3, 2.4), min(1, 1.6), min(-3, -2.4), min(-1, -1.6), 1.1
    expected = -torch.tensor([2.4, 1.0, -3.0, -1.6, 1.1]) + 0.5 * torch.tensor([1.0, 0, 0, 0, 0])
    loss = ppo_loss(samples, ratio.log(), torch.zeros(5), clip_range=0.2, vf_coef=0.5)
    torch.testing.assert_close(loss, expected)


def bandit_model(updates: int = 20, **arguments) -> EventPPO:
    settings = {"learning_rate": 3e-3, "batch_size": 256, "events_per_episode": 0, "seed": 0}
    settings |= {"policy_kwargs": QUICK_HEADS}
    model = EventPPO("PlasticityPolicy", bandit(64), **(settings | arguments))
    model.learn(64 * 4 * updates)
    return model


def bandit_error(model: EventPPO) -> float:
    """Mean distance from the target of what the rule without exploration answers in an image."""
    return (bandit_answers(model) - BanditEnv.target).abs().mean().item()


WHOLE_RULES = {"exploration": "rule", "mirrored": True, "baseline": "lifetimes"}
BOLD = {"rule_learning_rate": 0.6, "policy_kwargs": QUICK_FRONT | {"sigma": 0.4}}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        pytest.param({"advantage_scope": "rollout", "loss_weighting": "step"}, marks=pytest.mark.slow),
        WHOLE_RULES | BOLD | {"updates": 90},
    ],
)
def test_the_bandit_is_learned(arguments):
    assert bandit_error(bandit_model(**arguments)) < 0.1  # 0.5 before learning


def test_the_bandit_is_not_learned_when_the_advantage_has_the_wrong_sign(monkeypatch):
    right = EventLearner.samples_with_advantages

    def flipped(self):
        samples = right(self)
        return samples._replace(advantages=-samples.advantages)

    monkeypatch.setattr(EventLearner, "samples_with_advantages", flipped)
    assert bandit_error(bandit_model()) > 0.6


def test_whole_rules_do_not_learn_the_bandit_when_the_advantage_has_the_wrong_sign(monkeypatch):
    right = rule_steps.ascend
    monkeypatch.setattr(rule_steps, "ascend", lambda xi, advantages, *rest: right(xi, -advantages, *rest))
    assert bandit_error(bandit_model(**WHOLE_RULES, **BOLD)) > 0.6


def test_an_update_of_whole_rules_stays_near_the_rule_that_was_tried():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        xi = torch.randn(32, 1, 129, generator=generator)
        advantages = torch.randn(64, generator=generator)
        ascent = rule_steps.ascend(torch.cat([xi, -xi]), advantages, 1.0, 4, 0.2)
        assert ascent.divergence < 5.0


def test_minibatches_hold_every_event_once_per_epoch():
    model = small_model(n_epochs=3, batch_size=101, normalize_advantage=False)
    model.learn(3 * SMALL["num_steps"])
    samples = model.samples_with_advantages()
    samples = samples._replace(actions=torch.arange(len(samples.actions)))  # a name for each event
    batches = list(model._minibatches(samples))
    assert max(len(batch.actions) for batch in batches) == 101
    seen = torch.cat([batch.actions for batch in batches])
    assert seen.bincount().tolist() == [3] * len(samples.actions)
    for batch in batches[:3]:  # a batch sees what its events saw
        mean, value = model.policy.evaluate_events(batch.state)
        whole_mean, whole_value = model.policy.evaluate_events(samples.state)
        torch.testing.assert_close(mean, whole_mean[batch.actions])
        torch.testing.assert_close(value, whole_value[batch.actions])


def test_the_first_pass_has_ratio_one_and_a_tiny_target_kl_stops_after_it():
    model = small_model(n_epochs=5, batch_size=10**6)
    model.learn(3 * SMALL["num_steps"])
    values = model.logger.name_to_value
    assert values["train/clip_fraction"] < 1 and values["train/epochs"] == 5
    stopped = small_model(n_epochs=5, batch_size=10**6, target_kl=1e-12)
    stopped.learn(3 * SMALL["num_steps"])
    assert stopped.logger.name_to_value["train/epochs"] == 1
    assert abs(stopped.logger.name_to_value["train/approx_kl"]) < 1e-6


def test_busy_steps_count_no_more_than_quiet_ones_when_steps_are_weighed():
    model = small_model(events_per_episode=0)
    model.learn(3 * SMALL["num_steps"])
    samples = model.rollout_buffer.samples()
    weights = event_weights(samples.step, "step", World())
    per_step = torch.zeros(int(samples.step.max()) + 1).index_add_(0, samples.step, weights)
    used = per_step[per_step > 0]
    torch.testing.assert_close(used, torch.full_like(used, 1 / len(used)))
    counts = samples.step.bincount()
    assert counts[counts > 0].unique().numel() > 1  # or the test shows nothing
    assert event_weights(samples.step, "event", World()).unique().tolist() == [pytest.approx(1 / len(samples.step))]


def test_same_seed_same_run_and_loading_goes_on(tmp_path):
    def run(seed: int) -> torch.Tensor:
        model = small_model(seed=seed)
        model.learn(2 * 3 * SMALL["num_steps"])
        model.save(tmp_path / f"{seed}.zip")
        return torch.cat([parameter.detach().flatten() for parameter in model.policy.parameters()])

    first = run(0)
    assert torch.equal(first, run(0)) and not torch.equal(first, run(1))
    loaded = EventPPO.load(tmp_path / "0.zip", env=make_sb3_env(ID, 3, **SMALL))
    loaded.learn(3 * SMALL["num_steps"], reset_num_timesteps=False)
    assert math.isfinite(loaded.logger.name_to_value["train/policy_loss"])


def test_an_event_of_one_group_never_touches_the_other_head():
    model = small_model(events_per_episode=0)
    model.learn(3 * SMALL["num_steps"])
    samples = model.samples_with_advantages()
    groups = samples.state.group
    assert set(groups.tolist()) == {0, 1}
    for group in (0, 1):
        model.policy.zero_grad()
        mine = samples.take((groups == group).nonzero().squeeze(1))
        model.accumulate_gradients(
            mine, lambda batch, m, v: ppo_loss(batch, model.policy.log_prob(m, batch.actions), v, 0.2, 0.5)
        )
        own, other = model.policy.rule.heads[group], model.policy.rule.heads[1 - group]
        assert any(parameter.grad.any() for parameter in own.parameters())
        assert all(p.grad is None or not p.grad.any() for p in other.parameters())


def test_logs_of_a_rollout_tell_the_groups_apart():
    model = small_model()
    model.learn(3 * SMALL["num_steps"], log_interval=10**6)
    logged = model.logger.name_to_value
    for group in ("exc", "inh"):
        assert logged[f"delta_w/{group}_spread"] > 0
        assert 0 <= logged[f"delta_w/{group}_potentiation"] <= 1


def test_exploring_by_rules_is_saved_and_a_function_of_the_seed(tmp_path):
    def run(seed: int) -> torch.Tensor:
        model = small_model(seed=seed, n_steps=2, credit_horizon=2, **(WHOLE_RULES | {"mirrored": False}))
        model.learn(3 * 2 * 3 * SMALL["num_steps"])
        model.save(tmp_path / "model.zip")
        return torch.cat([parameter.detach().flatten() for parameter in model.policy.parameters()])

    first = run(0)
    assert torch.equal(first, run(0)) and not torch.equal(first, run(1))
    loaded = EventPPO.load(tmp_path / "model.zip", env=make_sb3_env(ID, 3, **SMALL))
    assert loaded.options == PPOOptions(credit_horizon=2, **(WHOLE_RULES | {"mirrored": False}))
    assert loaded.rollout_buffer.options == loaded.options
    loaded.learn(2 * 2 * 3 * SMALL["num_steps"], reset_num_timesteps=False)
    assert math.isfinite(loaded.logger.name_to_value["train/rule_step"])


@pytest.mark.parametrize(
    "arguments", [{"credit_horizon": 2, "n_steps": 2}, {"baseline": "lifetimes"}, {"exploration": "rule"}]
)
def test_events_with_rewards_of_their_own_have_no_credit_beyond_them(arguments):
    deep = {"dataset": "digits", "num_steps": 4, "history_length": 4, "hidden_sizes": (6,), "layer_scalars": (0.5, 1.0)}
    with pytest.raises(ValueError, match="critic and credit_horizon 1, got"):
        EventPPO("PlasticityPolicy", make_sb3_env("SNNPlastic-Grad-v0", 2, **deep), **arguments)
