"""train_plastic in worlds: advantages, pieces, learning where the best actions are known, going on, refusals."""

import numpy as np
import pytest
import torch
import toys_worlds
from cut_runs import assert_goes_on_bit_for_bit, result_of, rows_of

from snn_plasticity_gym.config.cli import parse_config
from snn_plasticity_gym.config.plastic import PlasticConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.trainers import train_plastic
from snn_plasticity_gym.trainers.sessions import plastic_rollouts
from snn_plasticity_gym.trainers.sessions.plastic_rollouts import run_episodes
from snn_plasticity_gym.trainers.sessions.plastic_world_learner import Piece, WorldLearner, pieces_of
from snn_plasticity_gym.trainers.sessions.plastic_world_session import make_world_learner

CORRIDOR = {"world": toys_worlds.CORRIDOR, "network": "ndp-bcm", "learner": "ppo", "hidden_size": 8}
CORRIDOR |= {"fields": 2, "action_ms": 4, "group_size": 4, "rollout": 24, "num_worlds": 3, "truncation": 5}
CARTPOLE = ["--world=CartPole-v1", "--learner=ppo", "--hidden_size=5", "--fields=3", "--action_ms=3", "--group_size=2"]
CARTPOLE += ["--observation_low=-1,-2,-0.2,-2", "--observation_high=1,2,0.2,2", "--rollout=16", "--num_worlds=2"]
CARTPOLE += ["--truncation=6", "--steps=96", "--eval_steps=32", "--eval_lives=2", "--test_lives=2", "--epochs=2"]
CARTPOLE += ["--seed=3", "--checkpoint_every=32", "--wandb=disabled", "--no-report"]


def learner_of(seed: int = 0, **settings) -> WorldLearner:
    return make_world_learner(PlasticConfig(**(CORRIDOR | settings)), seed)


def test_advantages_are_those_of_the_sum_over_all_that_follows():
    """Generalized advantages in closed form: sums of discounted errors until the episode's end, slowly."""
    gamma, decay = 0.9, 0.8
    learner = learner_of(gamma=gamma, gae_lambda=decay, world_kwargs='{"cap": 7}')
    rollout = learner.acting.run(24)
    rewards, values = rollout.buffer.rewards, rollout.buffer.values  # (n, B)
    last = learner.actor.value(learner.acting._worlds.observations(range(3))).detach().numpy()  # (B,)
    ends = np.concatenate([rollout.begins[1:], learner.acting._begins[None]])  # (n, B) whether an action was the last
    assert 2 < ends.sum() < 60
    for world in range(3):
        for step in range(24):
            expected, weight = 0.0, 1.0
            for later in range(step, 24):
                ahead = values[later + 1, world] if later < 23 else last[world]
                alive = not ends[later, world]
                expected += weight * (rewards[later, world] + gamma * alive * ahead - values[later, world])
                weight *= gamma * decay
                if not alive:
                    break
            assert rollout.buffer.advantages[step, world] == pytest.approx(expected, abs=1e-5)


def test_a_truncated_episode_is_paid_what_the_critic_expects_after_it(monkeypatch):
    learner = learner_of(world_kwargs='{"cap": 1}', gamma=0.5)
    with torch.no_grad():
        learner.actor.critic[-1].bias.fill_(4.0)
        learner.actor.critic[-1].weight.zero_()
    rollout = learner.acting.run(3)
    assert rollout.begins.all()  # each action is an episode, cut off
    paid = rollout.buffer.rewards - 0.5 * 4.0
    assert (np.abs(paid) <= plastic_rollouts.LARGEST_REWARD).all() and (paid < 0).all()
    monkeypatch.setattr(plastic_rollouts.RolloutCollector, "_scaled", lambda self, reward, ended: np.zeros_like(reward))
    assert (learner.acting.run(3).buffer.rewards == 0.5 * 4.0).all()


def test_rewards_are_divided_by_the_deviation_of_returns_so_far():
    acting, rng = learner_of(gamma=0.9).acting, np.random.default_rng(0)
    met, sums = [], np.zeros(3)
    for step in range(40):
        reward, ended = rng.normal(size=3), rng.random(3) < 0.3
        sums = 0.9 * sums + reward
        met.append(sums)
        told, expected = acting._scaled(reward, ended), reward / np.std(met)
        if step > 4:  # by then the count that the running deviation begins with is forgotten
            assert told == pytest.approx(np.clip(expected, -10, 10), rel=1e-3)
        sums = np.where(ended, 0.0, sums)


def test_a_step_is_that_of_the_clipped_objective(monkeypatch):
    """Equation 7 of Schulman et al. (2017), action by action, after a first step that has moved the policy."""
    learner = learner_of(clip_range=0.05, entropy=0.1, learning_rate=0.05)
    rollout = learner.acting.run(24)
    pieces, losses = pieces_of(rollout.begins, 5), []
    advantages = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
    learner._improve(rollout, pieces, advantages)
    monkeypatch.setattr(learner, "_step", losses.append)
    learner._improve(rollout, pieces, advantages)
    counts, steps, worlds = learner._counts(rollout, pieces)
    chances = learner.actor.policy(counts).probs.double().detach().numpy()  # (M, 2)
    values = learner.actor.value(torch.from_numpy(rollout.buffer.observations[steps, worlds])).detach().numpy()
    gains, entropies, kinds = [], [], set()
    for place, (step, world) in enumerate(zip(steps, worlds, strict=True)):
        advantage, action = float(advantages[step, world]), int(rollout.buffer.actions[step, world, 0])
        ratio = chances[place, action] / np.exp(float(rollout.buffer.log_probs[step, world]))
        clipped = min(max(ratio, 0.95), 1.05)
        gains.append(min(ratio * advantage, clipped * advantage))
        entropies.append(-(chances[place] * np.log(chances[place])).sum())
        kinds.add((advantage > 0, ratio < 0.95, ratio > 1.05))
    assert len(kinds) >= 4  # ratios beyond either end, with advantages of either sign
    of_critic = 0.5 * np.mean((values - rollout.buffer.returns[steps, worlds]) ** 2)
    assert losses[0].item() == pytest.approx(-np.mean(gains) - 0.1 * np.mean(entropies) + of_critic, rel=1e-4)


def test_pieces_end_where_episodes_do_and_where_gradients_shall():
    begins = np.zeros((7, 2), dtype=bool)
    begins[0] = True
    begins[4, 1] = True
    assert pieces_of(begins, 3) == [
        Piece(0, 0, 3), Piece(0, 3, 6), Piece(0, 6, 7), Piece(1, 0, 3), Piece(1, 3, 4), Piece(1, 4, 6), Piece(1, 6, 7),
    ]  # fmt: skip


def test_pieces_that_run_again_do_what_was_done():
    """All output spikes of a rollout, with episodes that end within it, come again from its pieces."""
    learner = learner_of(world_kwargs='{"random_start": true}')
    learner.acting.run(7)  # so that the rollout begins in the middle of episodes
    rollout = learner.acting.run(24)
    pieces = pieces_of(rollout.begins, 5)
    assert len(pieces) > 3 * 5
    with torch.no_grad():
        counts, steps, worlds = learner._counts(rollout, pieces)
        policy = learner.actor.policy(counts)
        taken = torch.from_numpy(rollout.buffer.actions[steps, worlds])[:, 0]
    assert sorted(zip(steps.tolist(), worlds.tolist(), strict=True)) == [(n, b) for n in range(24) for b in range(3)]
    again = policy.log_prob(taken).numpy()
    assert np.abs(again - rollout.buffer.log_probs[steps, worlds]).max() < 1e-6
    assert len(np.unique(again.round(4))) > 5


@pytest.mark.parametrize("network", ["plain", "recurrent", "dp-oja", "ndp-bcm", "backpropamine-retroactive"])
def test_efficacies_last_from_the_first_action_of_an_episode_to_its_last(network):
    learner = learner_of(network=network, world_kwargs='{"cap": 1000}')
    learner.acting.run(12)
    plastic = learner.acting._states[0].plastic
    if network in ("plain", "recurrent"):
        assert plastic is None
    else:
        assert (plastic.efficacy.abs().amax(dim=(1, 2)) > 0).all()
    ended = learner_of(network=network, world_kwargs='{"cap": 1}')
    ended.acting.run(12)
    assert plastic is None or not ended.acting._states[0].plastic.efficacy.any()


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("network", ["plain", "dp-bcm"])
def test_the_way_through_a_corridor_is_learned(network, turned, monkeypatch):
    """Always to the right; a policy that is pushed the wrong way goes nowhere."""
    right = WorldLearner._learn

    def turn(self, rollout):
        rollout.buffer.advantages *= -1
        right(self, rollout)

    if turned:
        monkeypatch.setattr(WorldLearner, "_learn", turn)
    settings = {"num_worlds": 8, "rollout": 32, "steps": 8 * 32 * 8, "truncation": 16, "learning_rate": 0.02}
    learner = learner_of(network=network, **settings)
    for _ in learner.steps():
        pass
    worlds = plastic_rollouts.Worlds(toys_worlds.CORRIDOR, 8)
    lives = learner.judge("test", 8, worlds)
    assert lives.returns.mean() < 0.5 if turned else lives.returns.mean() > 0.9
    assert learner.not_finite == 0


def test_a_cart_pole_from_the_command(tmp_path):
    run = train_plastic.train([*CARTPOLE, '--test_attributes={"force_mag": [5]}', f"--run_dir={tmp_path}"])
    result = result_of(run)
    assert result["steps"] == 96 and result["world"] == "CartPole-v1" and result["parameters"] == 219
    assert set(result["disturbed"]) == {"action noise 30%", "force_mag = 5"}
    assert [row["time/steps"] for row in rows_of(run)] == ["32", "64", "96", ""]
    assert set(torch.load(run / "weights.pt", weights_only=True)) == set(learner_of().network.state_dict())


@pytest.mark.parametrize("world", ["CartPole-v1", "Pendulum-v1"])
def test_a_run_that_ended_goes_on_bit_for_bit(world, tmp_path):
    flags = [flag for flag in CARTPOLE if world == "CartPole-v1" or not flag.startswith("--observation")]
    assert_goes_on_bit_for_bit(train_plastic.train, WorldLearner, [*flags, f"--world={world}"], tmp_path)


def test_noise_on_actions_changes_what_they_are_worth():
    learner = learner_of()
    worlds = plastic_rollouts.Worlds(toys_worlds.CORRIDOR, 4)
    usual, again, noisy = (run_episodes(learner.actor, worlds, range(4), 0, level) for level in (0.0, 0.0, 1.0))
    assert np.array_equal(usual.returns, again.returns) and not np.array_equal(usual.lengths, noisy.lengths)


def test_what_cannot_be_is_refused_in_one_line(tmp_path, capsys):
    def refusal(*flags: str) -> str:
        with pytest.raises(SystemExit):
            train_plastic.train([*flags, f"--run_dir={tmp_path}"])
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        return line

    assert "learner must be ppo in a world, got bptt" in refusal("--world=CartPole-v1")
    assert "episodes is of cue association, got 5; give steps in a world" in refusal(*CARTPOLE, "--episodes=5")
    assert "network formula does not act in worlds" in refusal(*CARTPOLE, "--network=formula")
    assert "group_size must be even" in refusal(*CARTPOLE, "--group_size=3")
    assert "a number each for each observation, got 4 and 2" in refusal(*CARTPOLE, "--observation_high=1,2")
    assert "must be lists of numbers by name" in refusal(*CARTPOLE, '--test_attributes={"force_mag": 5}')
    assert "must be finite numbers, got 'a'" in refusal(*CARTPOLE, '--test_attributes={"force_mag": ["a"]}')
    for flags, message in (
        (["--world=NoWorld-v0"], "NoWorld"),
        (["--observation_low=", "--observation_high="], "gives no bounds for observation 1, 3 of 4"),
        (["--test_friction=0.5"], "test of friction x 0.5: .*in worlds of MuJoCo only, and 'CartPole-v1' is none"),
        (['--test_attributes={"force": [5]}'], "test of force = 5: .*it has no such number"),
    ):
        with pytest.raises(ConfigError, match=message) as error:
            train_plastic.train([*CARTPOLE, *flags, f"--run_dir={tmp_path}"])
        assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["cheetah-reduced", "inverted-pendulum-plastic"])
def test_presets_arrive(name):
    config = parse_config(PlasticConfig, [f"--preset={name}"])
    assert config.preset == name and config.network == "ndp-bcm" and config.learner == "ppo"
    pytest.importorskip("mujoco")
    learner = make_world_learner(config, 0)
    assert abs(learner.network.num_parameters - config.parameters) < 150
