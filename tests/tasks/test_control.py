"""Networks that act: the closed loop is what plain Python makes of it, step by step and factor by factor."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy.stats import norm
from toys_worlds import BANDIT, CORRIDOR, Corridor

from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.networks.decoder_registry import DECODERS
from snn_plasticity_gym.networks.encoder_registry import ENCODERS
from snn_plasticity_gym.tasks.base import Seed
from snn_plasticity_gym.tasks.control import ControlTask

CONTROL, CARTPOLE = "SNNPlastic-Control-v0", "SNNPlastic-CartPole-v0"
MEAN, STD = [-0.00646, -0.03634, 0.00529, 0.04752], [1.0, 0.5399, 0.0913, 0.82071]
SMALL = {  # a lively network of little work
    "steps_per_action": 6,
    "history_length": 6,
    "hidden_sizes": (10,),
    "encoder_kwargs": {"fields": 5, "mean": MEAN, "std": STD, "period": 2},
    "decoder_kwargs": {"group_size": 3},
    "w_init_min": -0.3,
    "w_init_max": 0.6,
    "refractory": 1.0,
}
TOY = {  # one-hot cells straight to the motor neurons
    "steps_per_action": 4,
    "history_length": 4,
    "hidden_sizes": (),
    "encoder": "rate",
    "encoder_kwargs": {},
    "decoder_kwargs": {"group_size": 2, "tie": "none", "tie_action": 1},
}


def toy(num_envs: int = 2, world: str = CORRIDOR, seed: int = 0, **settings) -> PlasticityVectorEnv:
    env = PlasticityVectorEnv(CONTROL, num_envs, **{**TOY, "world": world, **settings})
    env.reset(seed=seed)
    return env


def small(num_envs: int = 2, seed: int = 0, **settings) -> PlasticityVectorEnv:
    env = PlasticityVectorEnv(CARTPOLE, num_envs, **{**SMALL, **settings})
    env.reset(seed=seed)
    return env


def live(env: PlasticityVectorEnv, delta: float = 0.0):
    """Go through an episode in which every event asks for the same change."""
    while (events := env.events()) is not None:
        env.apply(torch.full((len(events.weight),), delta))
    return env.finish()


# The loop


class ByHand:
    """One lifetime of CartPole in plain NumPy: fields, volleys, membranes, winner."""

    def __init__(self, env: PlasticityVectorEnv, row: int, seed: int, episode: int) -> None:
        self.config = env.config
        weights = [
            env.engine.network.weights_of(name)[row].numpy() for name in ("input_to_hidden_1", "hidden_1_to_motor")
        ]
        self.weights = [w.copy() for w in weights]
        self.stream = Seed(seed, seed, 0, episode).episode_rng()
        self.world = gymnasium.make("CartPole-v1")
        self.observation, _ = self.world.reset(seed=int(self.stream.integers(2**31)))
        self.v = [np.zeros(w.shape[1], np.float32) for w in weights]
        self.silent = [np.zeros(w.shape[1], int) for w in weights]
        self.step = 0

    def action(self) -> tuple[list[np.ndarray], int]:
        """Simulate the time steps of an action; return the motor spikes of each, and the action."""
        config, motor = self.config, []
        edges = np.array(MEAN)[:, None] + np.array(STD)[:, None] * norm.ppf(np.arange(1, 5) / 5)  # (D, F - 1)
        field = [
            int((value >= row.astype(np.float32)).sum()) for value, row in zip(self.observation, edges, strict=True)
        ]
        active = np.zeros(20, bool)
        active[[5 * d + f for d, f in enumerate(field)]] = True
        if not config.carry_state:
            self.v = [np.zeros_like(v) for v in self.v]
            self.silent = [np.zeros_like(silent) for silent in self.silent]
        if config.noise:
            noise = np.float32(config.noise) * self.stream.standard_normal((config.steps_per_action, 6)).astype(
                np.float32
            )
        for phase in range(config.steps_per_action):
            fired = active if self.step % 2 == 0 else np.zeros_like(active)
            for layer, weights in enumerate(self.weights):
                current = np.zeros(weights.shape[1], np.float32)
                for pre in np.flatnonzero(fired):
                    current += weights[pre]
                if layer == 1 and config.noise:
                    current += noise[phase]
                drive = np.where(self.silent[layer] > 0, 0, np.float32(config.resistance) * current)
                v = self.v[layer] + np.float32(1 / config.tau_mem) * (drive - self.v[layer])
                fired = (v > 1) & (self.silent[layer] == 0)
                self.silent[layer] = np.where(fired, 1, np.maximum(self.silent[layer] - 1, 0))
                self.v[layer] = np.where(fired, 0, v).astype(np.float32)
            motor.append(fired)
            self.step += 1
        left, right = np.sum(motor, axis=0).reshape(2, 3).sum(axis=1)
        chance = self.stream.random(dtype=np.float32)
        return motor, int(right > left) if left != right else int(chance * 2)

    def act(self, action: int) -> tuple[float, bool]:
        self.observation, reward, terminated, _, _ = self.world.step(action)
        return reward, terminated


@pytest.mark.parametrize("settings", [{}, {"carry_state": False}, {"noise": 0.3}], ids=["carried", "fresh", "noise"])
def test_cartpole_with_random_weights_is_what_plain_loops_make_of_it(settings):
    """Every motor spike, every action, every observation, to the fall of the pole; two episodes of two lifetimes."""
    env, ties, num_actions = small(**settings), 0, 0
    for episode in range(2):
        hands = [ByHand(env, row, row, episode) for row in range(2)]
        lengths, spikes = [0, 0], [[], []]
        ends = [False, False]
        while not all(ends):
            for row, hand in enumerate(hands):
                if ends[row]:
                    continue
                motor, action = hand.action()
                spikes[row] += motor
                ties += bool(np.sum(motor, axis=0)[:3].sum() == np.sum(motor, axis=0)[3:].sum())
                ends[row] = hand.act(action)[1]
                lengths[row] += 1
        kept = env.engine.raster["motor"].shape[1]
        seen = [[], []]
        while (events := env.events()) is not None:
            for row in range(2):
                step = int(env.engine.steps[row])
                if step > len(seen[row]):
                    seen[row].append(env.engine.raster["motor"][row, (step - 1) % kept].numpy().copy())
            env.apply(torch.zeros(len(events.weight)))
        observation = env.engine.task.observations.clone()
        result = env.finish()
        assert result.reward.tolist() == lengths and result.info["num_actions"].tolist() == lengths
        assert result.length.tolist() == [6 * length for length in lengths]
        for row in range(2):
            assert np.array_equal(seen[row], spikes[row])
            assert result.spikes["motor"][row] == np.sum(spikes[row])
            assert np.array_equal(observation[row].numpy(), hands[row].observation.astype(np.float32))
        assert 0 < np.mean(spikes[0]) < 0.5  # neither dead nor saturated
        num_actions += sum(lengths)
    assert 0 < ties < num_actions


def test_membranes_are_carried_from_action_to_action_or_begin_at_rest():
    """One volley is below the threshold, the second one above it; there is one in each of four actions."""
    weights = {"w_init_min": 0.6, "w_init_max": 0.6}
    volley = {"encoder": "one-hot", "encoder_kwargs": {"fields": 1, "period": 4}}
    counts = {}
    for carry in (True, False):
        env = toy(1, carry_state=carry, world_kwargs={"one_hot": False}, max_actions=4, **weights, **volley)
        counts[carry] = int(live(env).spikes["motor"][0])
    assert counts == {True: 8, False: 0}


# What is paid, and when


def paid(env: PlasticityVectorEnv) -> list[tuple[int, float, bool, bool]]:
    """Step the first lifetime by slots to its end: every time step that paid or ended something."""
    told = []
    while not (told and (told[-1][2] or told[-1][3])):
        step = int(env.engine.steps[0])
        _, reward, over, cut, _ = env.step(np.zeros(env.action_space.shape, np.float32))
        if reward[0] or over[0] or cut[0]:
            told.append((step, pytest.approx(reward[0]), bool(over[0]), bool(cut[0])))
    return told


def test_the_world_is_paid_for_at_the_step_at_which_it_pays():
    """Motor neurons are silent, and a tie is the way to the right: five cells are four actions of four steps."""
    silent = {"w_init_min": 0.0, "w_init_max": 0.0, "max_actions": 9}
    way = [(4, -0.01, False, False), (8, -0.01, False, False), (12, -0.01, False, False), (16, 0.99, True, False)]
    assert paid(toy(**silent)) == way
    result = live(toy(**silent))
    assert result.payment_steps.tolist() == [4, 8, 12, 16]
    torch.testing.assert_close(result.payments, torch.tensor([[-0.01, -0.01, -0.01, 0.99]] * 2))
    torch.testing.assert_close(result.reward, torch.full((2,), 0.96))
    assert result.info["num_actions"].tolist() == [4, 4] and not result.truncated.any()


@pytest.mark.parametrize(
    ("settings", "actions", "cut"),
    [
        ({"max_actions": 3}, 3, True),
        ({"max_actions": 4}, 4, False),  # it is there in that step
        ({"max_actions": 9, "world_kwargs": {"max_episode_steps": 2}}, 2, True),  # Gymnasium's TimeLimit
        ({"world_kwargs": {"max_episode_steps": 4}}, 4, False),
        ({"max_actions": 9, "world_kwargs": {"cap": 1}}, 1, True),  # the world's own
    ],
)
def test_an_end_is_an_end_and_a_cut_is_a_cut(settings, actions, cut):
    silent = {"w_init_min": 0.0, "w_init_max": 0.0, "max_actions": 9, **settings}
    result = live(toy(**silent))
    assert result.length.tolist() == [4 * actions] * 2 and result.truncated.tolist() == [cut] * 2
    assert paid(toy(**silent))[-1][2:] == (not cut, cut)


def test_a_task_of_ones_own_may_pay_something_else(monkeypatch):
    def reward(self, rows, before, actions, after, paid):
        return 10.0 * after.argmax(dim=1) + actions + before.argmax(dim=1) / 10 + paid

    monkeypatch.setattr(ControlTask, "reward", reward)
    result = live(toy(w_init_min=0.0, w_init_max=0.0, max_actions=9))
    torch.testing.assert_close(result.payments[0], torch.tensor([10.99, 21.09, 31.19, 42.29]))


def test_a_world_without_a_limit_needs_one():
    with pytest.raises(ConfigError, match="has no step limit; set max_actions"):
        toy(max_actions=0)


# Actions


@pytest.mark.parametrize("together", [True, False])
def test_ties_repeat_the_last_action_of_the_episode_and_no_other(together):
    """Whoever else has acted: the first tie of an episode is `tie_action`, whatever was done in the one before."""
    settings = {
        "w_init_min": 0.0,
        "w_init_max": 0.0,
        "decoder_kwargs": {"group_size": 2, "tie": "last", "tie_action": 1},
        "max_actions": 3,
        "world_kwargs": {"cells": 9},
    }
    env = toy(2, **settings)
    task = env.engine.task
    seen = []
    step = task.worlds.step
    task.worlds.step = lambda rows, actions: seen.append((rows.tolist(), actions.tolist())) or step(rows, actions)

    def push_left(rows, step, activity):
        """In the second action of the episode."""
        task._counts[rows] += activity.spikes["motor"]
        if (task._actions_done[rows] == 1).all():
            task._counts[rows] += torch.tensor([1, 0, 0, 0])

    task.observe = push_left
    for _ in range(2):
        if together:
            live(env)
        else:
            for _ in range(12):
                env.step(np.zeros(env.action_space.shape, np.float32))
    rows = [[0, 1]] * 6
    assert [place for place, _ in seen] == rows
    assert [actions for _, actions in seen] == [[1, 1], [0, 0], [0, 0]] * 2


def test_the_first_tie_of_a_lifetime_does_not_depend_on_what_others_have_done():
    settings = {"w_init_min": 0.0, "w_init_max": 0.0, "max_actions": 3, "world_kwargs": {"cells": 9}}
    env = toy(2, decoder_kwargs={"group_size": 2, "tie": "last", "tie_action": 1}, **settings)
    engine = env.engine
    for rows in ([0], [0], [0], [0], [0, 1]):
        engine.advance(rows)
        engine.settle(rows)
    for _ in range(3):
        engine.advance([1])
        engine.settle([1])
    assert env.engine.task.last_action.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("decoder", "settings", "world"),
    [
        ("winner", {"group_size": 2}, "CartPole-v1"),
        ("winner", {"group_size": 1, "tie": "last"}, "MountainCar-v0"),
        ("winner", {"group_size": 2, "levels": [-2.0, 0.0, 2.0]}, "Pendulum-v1"),
        ("softmax", {"group_size": 2, "beta": 0.5}, "CartPole-v1"),
        ("softmax", {"levels": [-1.0, 1.0]}, "MountainCarContinuous-v0"),
        ("population", {"group_size": 4, "gain": 3.0}, "Pendulum-v1"),
    ],
)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_all_encoders_and_decoders_run(encoder, decoder, settings, world):
    """Spikes come in, spikes go out, and two lifetimes with the same seed do the same."""
    observed = gymnasium.make(world).observation_space.shape[0]
    limits = {"low": [-0.1] * 4, "high": [0.1] * 4} if observed == 4 else {}  # CartPole has no bounds
    kwargs = {
        "one-hot": {"fields": 4, "period": 2, **limits},
        "one-hot-normal": {"fields": 4, "mean": [0.0] * observed, "std": [0.5] * observed, "rate": 0.5},
        "one-hot-measured": {
            "fields": 4,
            "observations": np.random.default_rng(0).normal(size=(50, observed)).tolist(),
            "period": 1,
        },
        "gaussian": {"fields": 4, **limits},
        "rate": {"signed": False, **limits},
        "one-hot-current": {"fields": 4, "amplitude": 0.3, **limits},
        "gaussian-current": {"fields": 4, "amplitude": 0.3, **limits},
        "value-current": {"amplitude": 0.3, "offset": 0.05, **limits},
    }[encoder]
    given = {
        "world": world,
        "encoder": encoder,
        "encoder_kwargs": kwargs,
        "decoder": decoder,
        "decoder_kwargs": settings,
        "steps_per_action": 5,
        "history_length": 5,
        "max_actions": 4,
        "hidden_sizes": (12,),
        "w_init_min": 0.3,
        "w_init_max": 0.6,
    }
    results = []
    for _ in range(2):
        env = PlasticityVectorEnv(CONTROL, 3, **given)
        env.reset(seed=4)
        results.append(live(env, 0.1))
    assert results[0].spikes["input"].min() > 0 and results[0].spikes["motor"].min() > 0
    assert results[0].num_events.min() > 0
    for name in ("reward", "length", "num_events", "rates"):
        assert torch.equal(getattr(results[0], name), getattr(results[1], name))


def test_every_decoder_is_among_those_tried():
    assert set(DECODERS) == {"winner", "softmax", "population"}


def test_pendulum_is_pushed_by_the_surplus_of_a_half():
    """All of the positive half and none of the other fire in every step: that is the highest torque."""
    env = PlasticityVectorEnv(
        CONTROL,
        1,
        world="Pendulum-v1",
        encoder="one-hot",
        encoder_kwargs={"fields": 1, "period": 1},
        decoder="population",
        decoder_kwargs={"group_size": 6},
        hidden_sizes=(),
        steps_per_action=4,
        history_length=4,
        max_actions=2,
        refractory=0.0,
        w_max=2.0,
    )
    env.reset(seed=0)
    live(env)  # the first events were asked for
    for positive, torque in ((True, 2.0), (False, -2.0)):
        weights = env.engine.network.weights_of("input_to_motor")
        weights[:] = 0.0
        weights[:, :, slice(0, 3) if positive else slice(3, 6)] = 2.0
        live(env)
        assert env.engine.task.last_action.tolist() == [[torque]]
    weights[:] = 2.0
    live(env)
    assert env.engine.task.last_action.tolist() == [[0.0]]


# Third factors


def follow(env: PlasticityVectorEnv):
    """Go through an episode of one lifetime; return per time step the factors that synapses saw, by motor neuron."""
    network, seen = env.engine.network, []
    offset, width = network.offsets["input_to_motor"], network.populations["motor"].size
    while (events := env.events()) is not None:
        post = (events.synapse - offset) % width
        seen.append(dict(zip(post.tolist(), events.scalar("factor").tolist(), strict=True)))
        env.apply(torch.zeros(len(events.weight)))
    return seen, env.finish()


WALK = {"world_kwargs": {"cells": 6}, "max_actions": 12, "w_init_min": 0.2, "w_init_max": 0.9}


def observed_walk(env: PlasticityVectorEnv):
    """Pay by cell and action, and note what happens to the one lifetime."""
    steps = []

    def reward(rows, before, actions, after, paid):
        paid = 0.3 * after.argmax(dim=1) + 0.5 * actions - 0.4
        steps.append((before[0], int(actions[0]), after[0], float(paid[0]), bool(after[0, -1] == 1)))
        return paid

    env.engine.task.reward = reward
    return steps


def deltas_by_hand(kind: str, episodes, window: float = 100.0, rate: float = 0.1, gamma: float = 0.95):
    """What each action was told, in plain loops over the actions of all episodes."""
    mean, count, v = 0.0, 0, np.zeros(6)
    told = []
    for steps in episodes:
        for before, _, after, reward, terminated in steps:
            surprise = reward - mean if count else 0.0
            count += 1
            mean = reward if count == 1 else mean + surprise / min(count, window)
            if kind == "mean":
                told.append(surprise)
                continue
            phi, then = before.double().numpy(), after.double().numpy()
            delta = reward + gamma * (0.0 if terminated else v @ then) - v @ phi
            v = v + rate * delta * phi / (phi @ phi)
            told.append(delta)
    return told


@pytest.mark.parametrize(
    ("factor", "baseline", "by_hand"),
    [
        ("reward", "critic", "mean"),
        ("rpe", "mean", "mean"),
        ("rpe", "critic", "critic"),
        ("targeted", "mean", "mean"),
        ("targeted", "critic", "critic"),
    ],
)
def test_third_factors_are_those_of_plain_loops(factor, baseline, by_hand):
    """Of three episodes, as the synapses see them: 0 before the first payment, then that of the last action."""
    env = toy(1, third_factor=factor, rpe_baseline=baseline, **WALK)
    steps, episodes, seen = observed_walk(env), [], []
    for _ in range(3):
        factors, result = follow(env)
        assert result.length[0] == 4 * len(steps)
        episodes.append(list(steps))
        steps.clear()
        seen.append(factors)
    told = iter(deltas_by_hand(by_hand, episodes))
    compared = 0
    for steps, factors in zip(episodes, seen, strict=True):
        expected = dict.fromkeys(range(4), 0.0)
        for place, (_, action, *_) in enumerate(steps):
            for step in range(4 * place, 4 * place + 4):
                for neuron, value in factors[step].items():
                    assert value == pytest.approx(expected[neuron], rel=1e-4, abs=1e-6)
                    compared += abs(value) > 1e-6
            delta = next(told)
            sign = {neuron: 1.0 if neuron // 2 == action else -1.0 for neuron in range(4)}
            expected = {neuron: delta * (sign[neuron] if factor == "targeted" else 1.0) for neuron in range(4)}
    assert compared > 50


def test_hidden_neurons_are_told_what_all_are_told():
    """`targeted` tells only motor neurons apart."""
    env = small(1, third_factor="targeted", rpe_baseline="mean")
    for row in range(1):
        env.engine.task.reward_factors._surprise(torch.tensor([row]), torch.tensor([0.25]))  # so that 1 is a surprise
    while (events := env.events()) is not None and env.engine.steps[0] <= 6:
        env.apply(torch.zeros(len(events.weight)))
    factors = env.engine.task.factors()
    assert torch.equal(factors["hidden_1"], torch.full((1, 10), 0.75))
    chosen = int(env.engine.task.last_action[0])
    assert factors["motor"][0].tolist() == [0.75 if neuron // 3 == chosen else -0.75 for neuron in range(6)]


def test_a_critic_needs_an_encoder_that_tells_its_activation(monkeypatch):
    class Mute:
        size = 3

        def spikes(self, observation, step, uniform):
            return torch.zeros(len(observation), 3, dtype=torch.bool)

    monkeypatch.setitem(ENCODERS, "mute", lambda space, device: Mute())
    mute = {"encoder": "mute", "third_factor": "rpe", "max_actions": 2}
    with pytest.raises(ConfigError, match=r"needs an encoder with activation.*set rpe_baseline to mean"):
        toy(**mute)
    live(toy(**mute, rpe_baseline="mean"))
    with pytest.raises(ConfigError, match="critic_pairs is for rpe_baseline critic"):
        toy(**mute, rpe_baseline="mean", critic_pairs=True)


# Eligibility


@pytest.mark.parametrize("factor", ["reward", "targeted"])
def test_weights_move_by_factor_times_trace_at_each_payment(factor):
    """dw_ij = f_j e_ij, e decaying at every time step, and none before the world has paid."""
    tau, eta = 7.0, 0.3
    env = toy(1, third_factor=factor, modulation="factor", tau_eligibility=tau, eta=eta, **WALK)
    observed_walk(env)
    network, moved = env.engine.network, 0
    weights = network.weights_of("input_to_motor")[0]  # (6, 4), a view
    for episode in range(3):
        expected, traces = weights.double().numpy().copy(), np.zeros((6, 4))
        rng = np.random.default_rng(episode)
        while (events := env.events()) is not None:
            np.testing.assert_allclose(weights.numpy(), expected, atol=2e-6)
            wanted = rng.uniform(-1, 1, len(events.weight)).astype(np.float32)
            before, step = weights.clone(), int(env.engine.steps[0])
            traces *= np.exp(-1.0 / tau)
            for synapse, delta in zip(
                (events.synapse - network.offsets["input_to_motor"]).tolist(), wanted, strict=True
            ):
                traces[synapse // 4, synapse % 4] += eta * delta
            env.apply(torch.from_numpy(wanted))
            if step % 4 == 0:  # paid
                told = env.engine.task.factors()["motor"][0].double().numpy()
                expected = np.clip(expected + told * traces, -1.0, 1.0)
            else:
                assert torch.equal(weights, before)
            moved += not torch.equal(weights, before)
        np.testing.assert_allclose(weights.numpy(), expected, atol=2e-6)
        env.finish()
    assert moved > 3


def test_a_fresh_episode_has_no_trace_of_the_one_before():
    env = toy(1, third_factor="reward", modulation="factor", **WALK)
    live(env, 1.0)
    assert not env.engine.modulation.eligibility.traces.any()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_lifetime_learns_the_bandit_by_targeted_reward(sign):
    """What fires and acts is strengthened where the reward was better than expected; turned round, the worst wins."""
    env = toy(
        16,
        BANDIT,
        third_factor="targeted",
        modulation="factor",
        max_actions=1,
        steps_per_action=10,
        decoder_kwargs={"group_size": 2},
        w_init_min=0.2,
        w_init_max=0.4,
        eta=0.05,
        noise=0.3,
    )
    first, *_, last = [live(env, sign).reward.mean() for _ in range(40)]
    assert abs(first) < 0.6 and sign * last > 0.9


# Random starts


def starts(env: PlasticityVectorEnv) -> list[list[float]]:
    return env.engine.task.observations.tolist()


def test_common_noise_shows_all_lifetimes_the_same_starts():
    """In every episode, whatever they do; lifetimes of their own see their own."""
    shared, apart = small(3, common_noise=True), small(3)
    for _ in range(3):
        one, other = starts(shared), starts(apart)
        assert one[0] == one[1] == one[2]
        assert other[0] != other[1] != other[2] != other[0]
        live(shared)
        live(apart)
    assert len({str(one) for one in (starts(shared)[0], one[0])}) == 2


def test_common_noise_is_the_same_spikes_and_noise_too():
    """With the same weights all do the same."""
    rate = {"encoder": "gaussian", "encoder_kwargs": {"fields": 4, "low": [-1] * 4, "high": [1] * 4}, "noise": 0.3}
    env = small(3, common_noise=True, w_init_min=0.5, w_init_max=0.5, **rate)
    result = live(env)
    assert len(set(result.length.tolist())) == len(set(result.spikes["input"].tolist())) == 1
    different = live(small(3, w_init_min=0.5, w_init_max=0.5, **rate))
    assert len(set(different.spikes["input"].tolist())) == 3


def test_an_episode_that_is_given_up_is_not_begun_again():
    """`reset()` in the middle goes on to another start, which the seed decides."""
    env = small(2, seed=3)
    seen = [starts(env)]
    for _ in range(3):
        env.apply(torch.zeros(len(env.events().weight)))
        env.reset()
        seen.append(starts(env))
    live(env)
    seen.append(starts(env))
    assert len({str(one) for one in seen}) == 5
    env.reset(seed=3)
    assert starts(env) == seen[0]
    env.reset()
    assert starts(env) == seen[1]


def test_an_episode_that_is_given_up_within_an_action_leaves_nothing():
    """The next action is decided by the spikes of its own time steps alone."""
    env = small(8, seed=3)
    task = env.engine.task
    for _ in range(4):
        env.apply(torch.zeros(len(env.events().weight)))
    assert task._counts.sum() > env.engine.raster["motor"][:, 4].sum()
    env.reset()
    assert torch.equal(task._counts > 0, env.engine.raster["motor"][:, 0]) and not task._actions_done.any()


def test_a_new_lifetime_sees_other_starts_than_the_one_before():
    env = small(1, seed=3)
    first = starts(env)
    env.reset(options={"new_lifetime": True})
    assert starts(env) != first


# Settings


def test_what_contradicts_each_other_is_refused():
    for settings, message in [
        ({"modulation": "factor"}, "modulation factor needs a third_factor"),
        (
            {"world": "Pendulum-v1", "decoder": "population", "inhibition": 0.1, "decoder_kwargs": {}},
            "motor groups of Discrete",
        ),
        ({"history_length": 200, "max_actions": 2}, "history_length must be at most the 8 time steps of an episode"),
        ({"world": "Pendulum-v1", "decoder": "winner"}, "give levels"),
        ({"encoder_kwargs": {"feilds": 3}}, "feilds"),
    ]:
        with pytest.raises(ConfigError, match=message):
            toy(1, **{"max_actions": 3, **settings})


def test_the_manifest_names_the_world():
    env = toy(1, max_actions=3, world_kwargs={"cells": 4})
    assert env.engine.task.manifest() == {
        "name": CORRIDOR,
        "world_kwargs": '{"cells": 4}',
        "world_attributes": "{}",
    }


def test_worlds_are_closed_with_the_task():
    env = toy(1, max_actions=3)
    env.engine.task.close()
    assert env.engine.task.worlds._envs == [None]


def test_an_environment_that_takes_over_a_state_can_be_drawn():
    before = toy(1, max_actions=3)
    live(before)
    env = gymnasium.make(CONTROL, render_mode="rgb_array", **TOY, world=CORRIDOR, max_actions=3)
    env.unwrapped.load_state_dict(before.state_dict())
    env.reset()
    assert env.render().std() > 0


def test_an_episode_that_apply_has_ended_is_not_paid_again_by_step():
    """Worlds end at different steps; `step` may not settle those that were over before it."""
    env = toy(4, max_actions=12, world_kwargs={"cells": 8, "random_start": True})
    ended = env.engine.ended
    while not ended.any():
        env.apply(torch.zeros(len(env.events().weight)))
    assert not ended.all()
    before = env.engine.task._actions_done[torch.from_numpy(ended)].clone()
    over = ended.copy()
    with pytest.raises(RuntimeError, match="the episode is over; call reset"):
        env.step(np.zeros(env.action_space.shape, np.float32))
    assert torch.equal(env.engine.task._actions_done[torch.from_numpy(over)], before)


@pytest.mark.parametrize("make", [gymnasium.make, gymnasium.make_vec])
def test_an_environment_closes_its_worlds(make, monkeypatch):
    closed = []
    monkeypatch.setattr(Corridor, "close", lambda world: closed.append(world))
    env = make(CONTROL, **TOY, world=CORRIDOR, max_actions=3)
    env.reset(seed=0)
    (world,) = env.unwrapped.engine.task.worlds._envs
    env.close()
    assert closed == [world.unwrapped]


@pytest.mark.parametrize("env_id", [CARTPOLE, "SNNPlastic-MountainCar-v0", CONTROL])
def test_default_networks_are_alive_and_not_saturated(env_id):
    """Motor neurons fire, and their groups differ in most actions."""
    config = environment_config(env_id)
    given: dict = {}
    env = PlasticityVectorEnv(env_id, 4, **({"max_actions": 60} | given))
    env.reset(seed=0)
    votes, decode = [], env.engine.task.decoder.decode
    env.engine.task.decoder.decode = lambda counts, *rest: votes.append(counts.clone()) or decode(counts, *rest)
    live(env)
    groups = env.engine.task.worlds.action_space.n
    assert isinstance(env.engine.task.worlds.action_space, spaces.Discrete)
    totals = torch.cat(votes).unflatten(1, (groups, -1)).sum(dim=2)  # (actions, n)
    tied = (totals == totals.max(dim=1, keepdim=True).values).sum(dim=1) > 1
    assert totals.sum() > 0 and tied.float().mean() < 0.5
    per_neuron = torch.cat(votes).float().mean() / config.steps_per_action
    assert 0.005 < per_neuron < 0.3
