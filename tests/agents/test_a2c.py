"""EventA2C: its loss by hand, what it learns on a bandit, and Stable-Baselines3's habits."""

import math

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv
from toys import SMALL, BanditEnv, bandit

import snn_plasticity_gym  # noqa: F401
from snn_plasticity_gym.agents import on_policy
from snn_plasticity_gym.agents.a2c import EventA2C, a2c_loss
from snn_plasticity_gym.agents.event_buffer import EventSamples
from snn_plasticity_gym.agents.on_policy import EventLearner
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env

ID = "SNNPlastic-Unsup1-v0"


def small_model(num_envs: int = 3, **arguments) -> EventA2C:
    return EventA2C("PlasticityPolicy", make_sb3_env(ID, num_envs, **SMALL), **({"seed": 0} | arguments))


def test_loss_equals_a_hand_computed_example():
    samples = EventSamples(
        state=None,
        actions=None,
        log_probs=None,
        returns=torch.tensor([1.0, 1.0, -0.5]),
        advantages=torch.tensor([2.0, -1.0, 0.5]),
        step=None,
    )
    log_prob, values = torch.tensor([-0.1, 0.4, -2.0]), torch.tensor([0.5, 1.0, 0.5])
    # -(2 * -0.1), -(-1 * 0.4), -(0.5 * -2.0); squared errors 0.25, 0, 1
    expected = torch.tensor([0.2 + 0.4 * 0.25, 0.4, 1.0 + 0.4 * 1.0])
    torch.testing.assert_close(a2c_loss(samples, log_prob, values, vf_coef=0.4), expected)


def bandit_means(**arguments) -> torch.Tensor:
    """Mean weight changes after some updates on a bandit whose best weight change is 0.5 everywhere."""
    model = EventA2C(
        "PlasticityPolicy", bandit(64), learning_rate=3e-3, **({"events_per_image": 0, "seed": 0} | arguments)
    )
    model.learn(64 * 4 * 40)
    return model.policy.evaluate_events(model.rollout_buffer.samples().state)[0].detach()


@pytest.mark.parametrize("arguments", [{}, {"events_per_image": 3, "seed": 1}, {"normalize_advantage": False}])
def test_the_bandit_is_learned(arguments):
    means = bandit_means(**arguments)
    assert (means - BanditEnv.target).abs().mean() < 0.1  # 0.5 before learning


def test_the_bandit_is_not_learned_when_the_advantage_has_the_wrong_sign(monkeypatch):
    right = EventLearner.samples_with_advantages

    def flipped(self):
        samples = right(self)
        return samples._replace(advantages=-samples.advantages)

    monkeypatch.setattr(EventLearner, "samples_with_advantages", flipped)
    assert (bandit_means() - BanditEnv.target).abs().mean() > 0.6


def test_chunks_of_events_give_the_gradient_of_the_whole(monkeypatch):
    model = small_model(events_per_image=0)
    model.learn(3 * SMALL["num_steps"])
    samples = model.samples_with_advantages()

    def gradient() -> torch.Tensor:
        model.policy.zero_grad()
        model.accumulate_gradients(
            samples, lambda chunk, m, v: a2c_loss(chunk, model.policy.log_prob(m, chunk.actions), v, 0.5)
        )
        return torch.cat([parameter.grad.flatten() for parameter in model.policy.parameters()])

    whole = gradient()
    model.policy.zero_grad()
    mean, value = model.policy.evaluate_events(samples.state)
    log_prob = torch.distributions.Normal(mean, model.policy.sigma).log_prob(samples.actions)
    (-(samples.advantages * log_prob) + 0.5 * (samples.returns - value) ** 2).mean().backward()
    plain = torch.cat([parameter.grad.flatten() for parameter in model.policy.parameters()])
    torch.testing.assert_close(whole, plain, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(on_policy, "LEARNING_CHUNK", 499)
    torch.testing.assert_close(gradient(), whole, rtol=1e-4, atol=1e-5)


def parameters(model: EventA2C) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.policy.parameters()])


def test_same_seed_same_run_bit_for_bit():
    def run(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        model = small_model(seed=seed, n_steps=2)
        model.learn(6 * 3 * SMALL["num_steps"])
        return parameters(model), on_policy.flat_face(model.env).engine.network.weights

    first, second, other = run(0), run(0), run(1)
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])


def test_save_load_same_actions_and_learning_goes_on(tmp_path):
    model = small_model(policy_kwargs={"sigma": 0.3, "critic_lr_scale": 2.0})
    model.learn(3 * SMALL["num_steps"])
    model.save(tmp_path / "model.zip")
    env = make_sb3_env(ID, 3, **SMALL)
    loaded = EventA2C.load(tmp_path / "model.zip", env=env)
    env.seed(7)
    observation = env.reset()
    actions, _ = model.predict(observation, deterministic=True)
    again, _ = loaded.predict(observation, deterministic=True)
    assert np.array_equal(actions, again)
    assert loaded.policy.sigma == 0.3
    assert loaded.rollout_buffer_kwargs == model.rollout_buffer_kwargs
    before = parameters(loaded)
    loaded.learn(3 * SMALL["num_steps"], reset_num_timesteps=False)
    assert loaded.num_timesteps == 2 * 3 * SMALL["num_steps"]
    assert not torch.equal(parameters(loaded), before)
    assert EventA2C.load(tmp_path / "model.zip").predict(observation, deterministic=True)[0].shape == actions.shape


class Counter(BaseCallback):
    """Counts the calls that Stable-Baselines3 promises to callbacks."""

    def __init__(self, stop_at: int = 10**9) -> None:
        super().__init__()
        self.stop_at = stop_at
        self.starts = self.ends = self.steps = 0

    def _on_rollout_start(self) -> None:
        self.starts += 1

    def _on_rollout_end(self) -> None:
        self.ends += 1

    def _on_step(self) -> bool:
        self.steps += 1
        return self.steps < self.stop_at


def test_callbacks_counters_and_episode_statistics_follow_stable_baselines():
    model, counter = small_model(n_steps=2), Counter()
    model.learn(4 * 3 * SMALL["num_steps"], callback=counter)
    assert model.num_timesteps == 4 * 3 * SMALL["num_steps"]
    assert (counter.starts, counter.ends, counter.steps) == (2, 2, 4 * SMALL["num_steps"])
    assert len(model.ep_info_buffer) == 12
    assert {episode["l"] for episode in model.ep_info_buffer} == {SMALL["num_steps"]}
    assert all(math.isfinite(episode["r"]) for episode in model.ep_info_buffer)


@pytest.mark.parametrize("env_id", ["SNNPlastic-Unsup2-v0", "SNNPlastic-Grad-v0"])
def test_two_phases_are_one_time_step_for_the_learner(env_id, tmp_path):
    tiny = {"dataset": "digits", "num_steps": 6, "history_length": 4, "event_kinds": "split", "events_per_step": 4096}
    deep = {"hidden_sizes": (6,), "layer_scalars": (0.5, 1.0), "max_rate": 0.2}
    lively = {"n_exc": 6, "max_rate": 0.02, "gain_input_exc": 20.0}
    settings = tiny | (deep if env_id == "SNNPlastic-Grad-v0" else lively)
    arguments = {"n_steps": 2, "gamma": 0.5, "events_per_image": 0, "loss_weighting": "step", "seed": 0}
    model = EventA2C("PlasticityPolicy", make_sb3_env(env_id, 3, **settings), **arguments)
    heads, counter = len(on_policy.flat_face(model.env).engine.heads), Counter()
    assert len(model.policy.rule.heads) == heads == (2 if env_id == "SNNPlastic-Grad-v0" else 4)
    before = parameters(model)
    model.learn(4 * 3 * 6, callback=counter)
    assert model.num_timesteps == 4 * 3 * 6
    assert (counter.starts, counter.ends, counter.steps) == (2, 2, 4 * 6)
    assert {episode["l"] for episode in model.ep_info_buffer} == {6}
    assert not torch.equal(parameters(model), before)
    samples = model.rollout_buffer.samples()
    assert samples.step.max() < 2 * 3 * 7 and set((samples.step % 7).tolist()) <= set(range(1, 7))
    if env_id != "SNNPlastic-Grad-v0":  # discounted by time steps to the last one
        reward = samples.returns / 0.5 ** (6 - samples.step % 7)
        for episode in (samples.step // 7).unique():
            mine = reward[samples.step // 7 == episode]
            torch.testing.assert_close(mine, mine[:1].expand_as(mine))
    weights = model._event_weights(samples)
    of_steps = torch.stack([weights[samples.step == step].sum() for step in samples.step.unique()])
    torch.testing.assert_close(of_steps, torch.full_like(of_steps, 1 / len(of_steps)))

    model.save(tmp_path / "model.zip")
    env = make_sb3_env(env_id, 3, **settings)
    loaded = EventA2C.load(tmp_path / "model.zip", env=env)
    env.seed(7)
    observation = env.reset()
    actions, _ = model.predict(observation, deterministic=True)
    assert np.array_equal(actions, loaded.predict(observation, deterministic=True)[0])
    loaded.learn(2 * 3 * 6, reset_num_timesteps=False)
    assert loaded.num_timesteps == 6 * 3 * 6


def test_each_kind_teaches_its_own_head():
    model = EventA2C("PlasticityPolicy", make_sb3_env(ID, 3, **SMALL, event_kinds="split"), events_per_image=0, seed=0)
    model.learn(3 * SMALL["num_steps"])
    samples = model.samples_with_advantages()
    for kind in (0, 1):
        members = (samples.state.kind == kind).nonzero().squeeze(1)
        assert len(members) > 50
        model.policy.zero_grad()
        mean, _ = model.policy.evaluate_events(samples.take(members).state)
        mean.sum().backward()
        for head_kind, head in enumerate(model.policy.rule.heads):
            gradients = [parameter.grad for parameter in head.parameters()]
            moved = any(gradient is not None and gradient.any() for gradient in gradients)
            assert moved == (head_kind == kind)


def test_a_callback_can_stop_within_an_image_and_learning_goes_on_with_the_next():
    model = small_model()
    model.learn(10**6, callback=Counter(stop_at=5))
    assert model.num_timesteps == 5 * 3
    model.learn(3 * SMALL["num_steps"], reset_num_timesteps=False)
    assert on_policy.flat_face(model.env).engine.steps.tolist() == [1, 1, 1]


def test_learning_rates_follow_the_schedule_each_by_its_scale():
    model = small_model(learning_rate=lambda left: 1e-3 * left, policy_kwargs={"critic_lr_scale": 3.0})
    model.learn(4 * 3 * SMALL["num_steps"])
    actor, critic = model.policy.optimizer.param_groups
    assert actor["lr"] == pytest.approx(0.0, abs=1e-9) or actor["lr"] < 1e-3
    assert critic["lr"] == pytest.approx(3 * actor["lr"])


@pytest.mark.parametrize("env", [ID, "made"])
def test_a_single_environment_or_its_name_will_do(env, monkeypatch):
    if env == "made":
        env = gymnasium.make(ID, **SMALL)
    else:  # by name there is no way to give settings: make the default ones small
        for name, value in SMALL.items():
            monkeypatch.setitem(gymnasium.registry[ID].kwargs, name, value)
    model = EventA2C("PlasticityPolicy", env, seed=0)
    model.learn(2 * SMALL["num_steps"])
    assert model.num_timesteps == 2 * SMALL["num_steps"]


def test_copies_side_by_side_are_refused_with_the_way_out():
    copies = DummyVecEnv([lambda: gymnasium.make(ID, **SMALL) for _ in range(2)])
    with pytest.raises(TypeError, match="give make_sb3_env"):
        EventA2C("PlasticityPolicy", copies)


def test_a_rollout_without_any_event_changes_nothing():
    model = EventA2C("PlasticityPolicy", make_sb3_env(ID, 2, **(SMALL | {"max_rate": 0.0})), seed=0)
    before = parameters(model)
    model.learn(2 * SMALL["num_steps"])
    assert torch.equal(parameters(model), before)
    assert all(math.isfinite(episode["r"]) for episode in model.ep_info_buffer)


def test_progress_bar_works(capfd):
    small_model().learn(3 * SMALL["num_steps"], progress_bar=True)


def test_returns_of_any_scale_are_brought_to_unit_spread():
    model = small_model(normalize_returns=True, gamma=0.9, n_steps=6)
    model.learn(6 * 3 * SMALL["num_steps"])
    raw = model.rollout_buffer.samples().returns
    scaled = model.samples_with_advantages().returns
    assert raw.std() < 0.5 and abs(scaled.std().item() - 1.0) < 0.05
    last = raw.abs().argmax()
    torch.testing.assert_close(scaled / scaled[last], raw / raw[last])  # scaled, not shifted
    plain = small_model(gamma=0.9, n_steps=6)
    plain.learn(6 * 3 * SMALL["num_steps"])
    assert torch.equal(plain.samples_with_advantages().returns, plain.rollout_buffer.samples().returns)
