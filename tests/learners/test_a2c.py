"""EventA2C: its loss by hand, what it learns on a bandit, and Stable-Baselines3's habits."""

import math

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv
from toys import QUICK_FRONT, QUICK_HEADS, SMALL, BanditEnv, bandit, bandit_answers

import snn_plasticity_gym  # noqa: F401
from snn_plasticity_gym.config.learning import EventOptions
from snn_plasticity_gym.learners import gradient_steps, on_policy, rule_steps
from snn_plasticity_gym.learners.a2c import EventA2C, a2c_loss
from snn_plasticity_gym.learners.event_buffer import EventRolloutBuffer, EventSamples
from snn_plasticity_gym.learners.event_means import event_weights
from snn_plasticity_gym.learners.exploration import IndependentNoise, RuleNoise
from snn_plasticity_gym.learners.on_policy import EventLearner
from snn_plasticity_gym.utils.distributed import World
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env

ID = "SNNPlastic-Unsup1-v0"


def small_model(num_envs: int = 3, **arguments) -> EventA2C:
    return EventA2C(
        "PlasticityPolicy",
        make_sb3_env(ID, num_envs, **SMALL),
        **({"seed": 0, "policy_kwargs": QUICK_HEADS} | arguments),
    )


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
        "PlasticityPolicy",
        bandit(64),
        learning_rate=1e-2,
        **({"events_per_episode": 0, "seed": 0, "policy_kwargs": QUICK_HEADS} | arguments),
    )
    model.learn(64 * 4 * 40)
    return bandit_answers(model)


WHOLE_RULES = {"exploration": "rule", "mirrored": True, "baseline": "lifetimes"}
BOLD = {"rule_learning_rate": 1.0, "policy_kwargs": QUICK_FRONT | {"sigma": 0.3}}
SMALL_HEADS = QUICK_FRONT | {"sigma": 0.1, "hidden_sizes": (8,)}
WHOLE_HEADS = WHOLE_RULES | {"perturb": "head", "rule_learning_rate": 1.0, "policy_kwargs": SMALL_HEADS}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"events_per_episode": 3, "seed": 1},
        pytest.param({"normalize_advantage": False}, marks=pytest.mark.slow),
        pytest.param({"baseline": "lifetimes"}, marks=pytest.mark.slow),
        WHOLE_RULES | BOLD,
        pytest.param(WHOLE_RULES | BOLD | {"mirrored": False, "seed": 1}, marks=pytest.mark.slow),
        pytest.param(WHOLE_HEADS, marks=pytest.mark.slow),
        WHOLE_HEADS | {"advantage": "ranks", "seed": 1},
    ],
)
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


@pytest.mark.parametrize("arguments", [WHOLE_RULES | BOLD, WHOLE_HEADS | {"advantage": "ranks"}])
def test_whole_rules_do_not_learn_the_bandit_when_the_advantage_has_the_wrong_sign(monkeypatch, arguments):
    right = rule_steps.ascend

    def wrong(xi, advantages, *rest):
        return right(xi, -advantages, *rest)

    monkeypatch.setattr(rule_steps, "ascend", wrong)
    assert (bandit_means(**arguments) - BanditEnv.target).abs().mean() > 0.6


def test_whole_heads_move_in_all_their_layers_and_nothing_else_does():
    model = small_model(num_envs=4, **WHOLE_HEADS)
    heads = list(model.policy.rule.heads.parameters())
    names = {id(parameter) for parameter in heads}
    others = [parameter for parameter in model.policy.parameters() if id(parameter) not in names]
    start = [parameter.clone() for parameter in (*heads, *others)]
    model.learn(4 * SMALL["num_steps"])
    assert all(map(torch.equal, start, (*heads, *others)))  # the first rollout only measures
    model.learn(2 * 4 * SMALL["num_steps"], reset_num_timesteps=False)
    assert not any(map(torch.equal, start[: len(heads)], heads))
    assert all(map(torch.equal, start[len(heads) :], others))


def test_chunks_of_events_give_the_gradient_of_the_whole(monkeypatch):
    model = small_model(events_per_episode=0)
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
    monkeypatch.setattr(gradient_steps, "LEARNING_CHUNK", 499)
    torch.testing.assert_close(gradient(), whole, rtol=1e-4, atol=1e-5)


def parameters(model: EventA2C) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.policy.parameters()])


def test_same_seed_same_run_bit_for_bit():
    def run(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        model = small_model(seed=seed, n_steps=2)
        model.learn(6 * 3 * SMALL["num_steps"])
        return parameters(model), on_policy.plasticity_env(model.env).engine.network.weights

    first, second, other = run(0), run(0), run(1)
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])


def test_save_load_same_actions_and_learning_goes_on(tmp_path):
    model = small_model(policy_kwargs=QUICK_FRONT | {"sigma": 0.3, "critic_lr_scale": 2.0})
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
    arguments = {"n_steps": 2, "gamma": 0.5, "events_per_episode": 0, "loss_weighting": "step", "seed": 0}
    model = EventA2C("PlasticityPolicy", make_sb3_env(env_id, 3, **settings), **arguments)
    heads, counter = len(on_policy.plasticity_env(model.env).engine.heads), Counter()
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
    weights = event_weights(samples.step, "step", World())
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
    model = EventA2C(
        "PlasticityPolicy", make_sb3_env(ID, 3, **SMALL, event_kinds="split"), events_per_episode=0, seed=0
    )
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
    engine = on_policy.plasticity_env(model.env).engine
    assert engine.steps.tolist() == [0, 0, 0] and engine.ages.tolist() == [1, 1, 1]  # one whole image, the next is on


def test_learning_rates_follow_the_schedule_each_by_its_scale():
    model = small_model(learning_rate=lambda left: 1e-3 * left, policy_kwargs=QUICK_FRONT | {"critic_lr_scale": 3.0})
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


GRAD = {"dataset": "digits", "num_steps": 4, "history_length": 4, "hidden_sizes": (6,), "layer_scalars": (0.5, 1.0)}


@pytest.mark.parametrize(
    ("arguments", "got"),
    [
        ({"credit_horizon": 2, "n_steps": 2}, "independent, critic and 2"),
        ({"baseline": "lifetimes"}, "independent, lifetimes and 1"),
        ({"exploration": "rule"}, "rule, critic and 1"),
    ],
)
def test_events_with_rewards_of_their_own_have_no_credit_beyond_them(arguments, got):
    with pytest.raises(ValueError, match=f"critic and credit_horizon 1, got {got}$") as error:
        EventA2C("PlasticityPolicy", make_sb3_env("SNNPlastic-Grad-v0", 2, **GRAD), **arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("n_steps", [4, 3])
def test_returns_stop_where_a_lifetime_ends(monkeypatch, n_steps):
    """Images 0 and 1 are a lifetime, 2 and 3 the next one, and so on; updates of 3 images cut lifetimes in two."""
    paid, right = [], EventRolloutBuffer.end_episode

    def spy(self, result, *rest):
        paid.append(result.reward.tolist())
        right(self, result, *rest)

    monkeypatch.setattr(EventRolloutBuffer, "end_episode", spy)
    env = make_sb3_env(ID, 3, **(SMALL | {"lifetime_length": 2}))
    credit = {"n_steps": n_steps, "credit_horizon": 3, "gamma_lifetime": 0.5, "baseline": "lifetimes"}
    model = EventA2C("PlasticityPolicy", env, seed=0, **credit)
    model.learn(2 * n_steps * 3 * SMALL["num_steps"])  # two updates, of which the buffer holds the second
    assert len(paid) == 2 * n_steps
    samples = model.samples_with_advantages()
    seen = set()
    for number, given, advantage in zip(samples.step, samples.returns, samples.advantages, strict=True):
        image, lifetime = divmod(int(number) // (SMALL["num_steps"] + 1), 3)
        image += n_steps
        # Of the three images of the horizon, at most one more is of the lifetime, and none beyond the rollout.
        more = image % 2 == 0 and image + 1 < 2 * n_steps
        expected = [paid[image][row] + (0.5 * paid[image + 1][row] if more else 0.0) for row in range(3)]
        assert given.item() == pytest.approx(expected[lifetime], abs=1e-5)
        assert advantage.item() == pytest.approx(expected[lifetime] - sum(expected) / 3, abs=1e-5)
        seen.add((image, more))
    assert len(seen) == n_steps and {more for _, more in seen} == {False, True}


def test_the_first_images_of_the_horizon_may_not_count(monkeypatch):
    """Lifetimes of 4 images in a rollout of 6: what counts of an image's horizon of 3 is its last two, if they live."""
    paid, right = [], EventRolloutBuffer.end_episode

    def spy(self, result, *rest):
        paid.append(result.reward.tolist())
        right(self, result, *rest)

    monkeypatch.setattr(EventRolloutBuffer, "end_episode", spy)
    env = make_sb3_env(ID, 2, **(SMALL | {"lifetime_length": 4}))
    credit = {"n_steps": 6, "credit_horizon": 3, "credit_from": 1, "gamma_lifetime": 0.5}
    model = EventA2C("PlasticityPolicy", env, seed=0, **credit)
    model.learn(6 * 2 * SMALL["num_steps"])
    given = model.rollout_buffer.lifetime_returns()
    for image in range(6):
        for row in range(2):
            later = [i for i in (image + 1, image + 2) if i < 6 and i // 4 == image // 4]
            expected = sum(0.5 ** (i - image) * paid[i][row] for i in later)
            assert given[image, row].item() == pytest.approx(expected, abs=1e-6)
    assert not given[3].any() and given[0].all()


def test_a_perturbation_lasts_as_long_as_credit_does(monkeypatch):
    drawn, right = [], RuleNoise.perturb

    def spy(self, num_lifetimes):
        drawn.append((on_policy.plasticity_env(model.env).engine.ages[0], num_lifetimes))
        right(self, num_lifetimes)

    monkeypatch.setattr(RuleNoise, "perturb", spy)
    model = small_model(exploration="rule", n_steps=5, credit_horizon=2)
    model.learn(2 * 5 * 3 * SMALL["num_steps"])
    assert drawn == [(age, 3) for age in (0, 2, 4, 5, 7, 9)]  # anew with every rollout


def test_one_lifetime_follows_one_rule_and_another_another(monkeypatch):
    """Within an image equal states are answered alike, and not as the mean rule does."""
    seen, right, repeats = {}, RuleNoise.act, 0

    def spy(self, rule, events):
        nonlocal repeats
        actions, log_probs = right(self, rule, events)
        image = int(on_policy.plasticity_env(model.env).engine.ages[0])
        lifetime = torch.arange(2).repeat_interleave(events.lengths).tolist()
        history = events.history().flatten(1).tolist()
        for place, action in enumerate(actions.tolist()):
            state = (*history[place], events.weight[place].item(), int(events.group[place]))
            key = (image, lifetime[place], state)
            repeats += key in seen
            assert seen.setdefault(key, action) == pytest.approx(action, abs=1e-5)
        if image == 1:
            assert (actions - rule(events)).abs().sum() > 0 or not len(actions)
        return actions, log_probs

    monkeypatch.setattr(RuleNoise, "act", spy)
    model = small_model(exploration="rule", num_envs=2)
    model.learn(2 * 2 * SMALL["num_steps"])
    assert repeats > 3  # or the test shows nothing


def test_the_first_rollout_of_whole_rules_only_measures_and_later_ones_move_last_layers_alone():
    model = small_model(num_envs=4, **WHOLE_RULES)
    rule = model.policy.rule
    last = [parameter for head in rule.heads for parameter in head.rest[-1].parameters()]
    names = {id(parameter) for parameter in last}
    others = [parameter for parameter in model.policy.parameters() if id(parameter) not in names]
    start = [parameter.clone() for parameter in (*last, *others)]
    model.learn(4 * SMALL["num_steps"])
    assert all(map(torch.equal, start, (*last, *others)))
    model.learn(2 * 4 * SMALL["num_steps"], reset_num_timesteps=False)
    assert not any(map(torch.equal, start[: len(last)], last))
    assert all(map(torch.equal, start[len(last) :], others))


def test_settings_of_credit_and_exploration_are_saved(tmp_path):
    credit = {"credit_horizon": 2, "n_steps": 2, "gamma_lifetime": 0.7}
    model = small_model(num_envs=4, rule_learning_rate=0.7, **WHOLE_RULES, **credit)
    model.learn(2 * 4 * SMALL["num_steps"])
    model.save(tmp_path / "model.zip")
    for env in (None, make_sb3_env(ID, 4, **SMALL)):
        loaded = EventA2C.load(tmp_path / "model.zip", env=env)
        assert loaded.options == model.options
        assert (loaded.options.exploration, loaded.options.mirrored) == ("rule", True)
        assert isinstance(loaded._explore, RuleNoise) and loaded._explore._mirrored
        assert loaded.options.rule_learning_rate == 0.7 and loaded._explore._policy is loaded.policy
        assert (loaded.rollout_buffer.options.credit_horizon, loaded.options.gamma_lifetime) == (2, 0.7)
    before = parameters(loaded)
    loaded.learn(3 * 2 * 4 * SMALL["num_steps"], reset_num_timesteps=False)
    assert not torch.equal(parameters(loaded), before)
    small_model().save(tmp_path / "plain.zip")
    plain = EventA2C.load(tmp_path / "plain.zip")
    assert plain.options == EventOptions()
    assert isinstance(plain._explore, IndependentNoise)


def test_exploring_by_rules_is_a_function_of_the_seed():
    def run(seed: int) -> torch.Tensor:
        model = small_model(num_envs=4, seed=seed, n_steps=2, **WHOLE_RULES)
        model.learn(3 * 2 * 4 * SMALL["num_steps"])
        return parameters(model)

    first = run(0)
    assert torch.equal(first, run(0)) and not torch.equal(first, run(1))
