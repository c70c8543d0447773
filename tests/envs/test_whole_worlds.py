"""Whole episodes of closed loops in compiled loops are the same as event by event, whatever the world pays."""

import pickle

import gymnasium
import pytest
import torch
from grids import grid
from hypothesis import given, settings
from hypothesis import strategies as st
from lives import assert_same_lives, bold_rule, bold_rules, formula

from snn_plasticity_gym import make_rule
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.networks.decoders import LevelsDecoder, WinnerDecoder
from snn_plasticity_gym.networks.observation_encoders import OneHotFields
from snn_plasticity_gym.tasks.control import ControlTask
from snn_plasticity_gym.tasks.control_loop import control_loop
from snn_plasticity_gym.tasks.worlds import WorldError

POLE, CAR, ANY = "SNNPlastic-CartPole-v0", "SNNPlastic-MountainCar-v0", "SNNPlastic-Control-v0"
SMALL = {
    POLE: {
        "steps_per_action": 8,
        "history_length": 8,
        "hidden_sizes": [9],
        "w_init_min": 0.0,
        "w_init_max": 0.6,
        "max_actions": 24,
        "decoder_kwargs": {"group_size": 4},
    },
    CAR: {
        "steps_per_action": 5,
        "history_length": 12,
        "hidden_sizes": [4],
        "max_actions": 20,
        "encoder_kwargs": {"fields": 10, "period": 2.5},
        "decoder_kwargs": {"group_size": 3, "tie": "last"},
    },
}
STDP = {"learning_rate": 0.05}
BELLS = {"encoder": "gaussian", "encoder_kwargs": {"fields": 5, "low": -3, "high": 3, "max_rate": 0.6, "floor": 0.05}}
RATES = {"encoder": "rate", "encoder_kwargs": {"low": -3, "high": 3, "signed": True, "max_rate": 0.8}}
CHANCE = {"encoder": "one-hot", "encoder_kwargs": {"fields": 6, "low": -3, "high": 3, "rate": 0.5}}
FORCES = {"decoder": "population", "decoder_kwargs": {"group_size": 6, "gain": 3.0}}
LEVELS = {"decoder": "softmax", "decoder_kwargs": {"group_size": 3, "beta": 0.5, "levels": [-2, -0.5, 0, 1]}}
PUSHES = {"decoder": "winner", "decoder_kwargs": {"group_size": 3, "tie": "last", "levels": [[-1.5], [0.1], [2]]}}
FEW = {"steps_per_action": 6, "history_length": 6, "hidden_sizes": [8], "w_init_min": -0.2, "w_init_max": 0.7}
WORLDS = {  # that Python steps
    "bells, forces": {"world": "Pendulum-v1", "max_actions": 20, **BELLS, **FORCES},
    "rates, levels": {"world": "Pendulum-v1", "max_actions": 20, **RATES, **LEVELS},
    "by chance, pushes": {
        "world": "Pendulum-v1",
        "world_kwargs": {"max_episode_steps": 15},
        **CHANCE,
        **PUSHES,
        "inhibition": 0.2,
    },
    "softmax": {"world": "Acrobot-v1", "max_actions": 20, **BELLS, "decoder": "softmax", "decoder_kwargs": {}},
    "ends early": {"world": "CartPole-v1", **RATES, "decoder": "softmax", "decoder_kwargs": {"group_size": 2}},
}


@pytest.mark.parametrize("env_id", SMALL)
@pytest.mark.parametrize("options", [{}, {"carry_state": False, "noise": 0.3}, {"inhibition": 0.2, "recurrent": True}],
                         ids=["plain", "noise", "inhibition"])  # fmt: skip
def test_nothing_learns(env_id, options):
    lived = assert_same_lives(env_id, {**SMALL[env_id], **options}, lambda env: make_rule("zero"), images=2)
    assert min(lived.spikes.values()) > 0


@pytest.mark.parametrize(
    ("env_id", "modulation", "third_factor"),
    grid(SMALL, ["none", "reward", "factor"], ["none", "reward", "rpe", "targeted", "credited"]),
)
def test_a_hand_written_rule(env_id, modulation, third_factor):
    if (modulation, third_factor) == ("factor", "none") or (third_factor == "credited" and modulation != "factor"):
        pytest.skip("there is no factor to wait for, or no eligibility to credit")
    options = {"modulation": modulation, "third_factor": third_factor, "noise": 0.2, "rpe_baseline": "critic"}
    config = {**SMALL[env_id], **options, "tau_eligibility": 30.0, "critic_start": 5.0}
    if env_id == POLE:
        config["world_kwargs"] = {"sutton_barto_reward": True}  # what never changes surprises nobody
    lived = assert_same_lives(env_id, config, lambda env: make_rule("stdp", **STDP), images=2, rounding=1e-5)
    assert min(lived.spikes.values()) > 0
    never_surprised = env_id == CAR and (modulation == "reward" or (modulation, third_factor) == ("factor", "reward"))
    assert (lived.moved > 0) != never_surprised


@settings(max_examples=4)
@given(data=st.data())
def test_a_formula_of_any_terms(data):
    env_id = data.draw(st.sampled_from(sorted(SMALL)))
    terms = data.draw(st.lists(st.sampled_from(["pre", "post", "post*x20", "pre*y20*w", "pre*surrogate", "post*factor",
                                                "reward*pre*y20"]), min_size=1, max_size=4, unique=True))  # fmt: skip
    options = {
        "local_state": ["surrogate", "reward"],
        "third_factor": data.draw(st.sampled_from(["rpe", "targeted"])),
        "rpe_baseline": data.draw(st.sampled_from(["mean", "critic"])),
        "carry_state": data.draw(st.booleans()),
        "event_kinds": data.draw(st.sampled_from(["pre", "post", "merged"])),
        "eta": 0.02,
    }
    config = {**SMALL[env_id], **options}
    assert_same_lives(env_id, config, lambda env: formula(env, terms, bold=0.2), images=2, rounding=1e-5)


@pytest.mark.parametrize(
    ("env_id", "scalars", "own"),
    grid(SMALL, [[], ["surrogate", "reward"]], [False, True], ids=[SMALL, ["plain", "scalars"], ["shared", "own"]]),
)
def test_heads_over_a_front(env_id, scalars, own):
    options = {"local_state": scalars, "third_factor": "targeted", "modulation": "factor", "noise": 0.2, "eta": 0.005}
    config = {**SMALL[env_id], **options, "event_kinds": "feature" if own else "merged"}
    heads = bold_rules if own else bold_rule
    lived = assert_same_lives(
        env_id, config, lambda env: heads(env, boldness=0.2, use_kind=own), images=3, rounding=1e-5
    )
    assert min(lived.spikes.values()) > 0 and lived.moved > 1e-3


@pytest.mark.parametrize("world", WORLDS)
def test_a_world_that_python_steps(world):
    lived = assert_same_lives(ANY, {**FEW, **WORLDS[world]}, lambda env: make_rule("zero"), images=2)
    assert min(lived.spikes.values()) > 0


@pytest.mark.parametrize(("world", "third_factor"), grid(WORLDS, ["reward", "rpe", "targeted", "credited"], every=3))
def test_a_rule_in_a_world_that_python_steps(world, third_factor):
    options = {"modulation": "factor", "third_factor": third_factor, "noise": 0.2, "eta": 0.0005, "critic_start": 1.0}
    config = {**FEW, **WORLDS[world], **options, "tau_eligibility": 30.0}
    config |= {"w_init_min": 0.0, "w_min": 0.0}  # STDP turns with the sign of a weight, and so would rounding errors
    lived = assert_same_lives(ANY, config, lambda env: make_rule("stdp", **STDP), images=2, rounding=1e-5)
    never_surprised = third_factor == "reward" and "Pendulum" not in config["world"]
    assert (lived.moved > 1e-4) != never_surprised


@pytest.mark.parametrize("world", [POLE, "bells, forces", "rates, levels"])
def test_a_critic_that_reads_pairs_of_inputs(world):
    options = {"modulation": "factor", "third_factor": "credited", "noise": 0.2, "eta": 0.0005, "critic_pairs": True}
    env_id, own = (POLE, SMALL[POLE]) if world == POLE else (ANY, FEW | WORLDS[world])
    config = {**own, **options, "tau_eligibility": 30.0, "critic_start": 1.0, "w_init_min": 0.0, "w_min": 0.0}
    lived = assert_same_lives(env_id, config, lambda env: make_rule("stdp", **STDP), images=2, rounding=1e-5)
    assert lived.moved > 1e-4


CHANGES = {"both": {"flipped": True, "deaf": 0.4}, "flipped": {"flipped": True}, "deaf": {"deaf": 0.4}}


@pytest.mark.parametrize(("env_id", "carried", "change"), grid([*SMALL, ANY], [True, False], CHANGES, every=3))
def test_what_changes_within_an_episode(env_id, carried, change):
    options = {"carry_state": carried, "third_factor": "credited", "modulation": "factor", "noise": 0.2}
    config = {**(FEW | WORLDS["bells, forces"] if env_id == ANY else SMALL[env_id]), **options, "critic_start": 5.0}
    config |= {"w_init_min": 0.1, "w_min": 0.05, "recurrent": True, "change_after": 7, **CHANGES[change]}
    config["eta"] = 0.0005 if env_id == ANY else 0.005  # a pendulum's rewards are large, and so are rounding errors
    lived = assert_same_lives(env_id, config, lambda env: make_rule("stdp", **STDP), images=2, rounding=1e-5)
    assert min(lived.spikes.values()) > 0 and lived.moved > 1e-4


def test_a_change_changes_nothing_before_it():
    """And something after it, in compiled loops as by hand: forces turn with the eighth action."""
    seen = {}
    for name, change in {"plain": {}, "turned": {"flipped": True, "change_after": 7}, "deaf": {"deaf": 1.0}}.items():
        env = PlasticityVectorEnv(POLE, num_envs=1, **SMALL[POLE], **change)
        env.reset(seed=1)
        env.run_episode(make_rule("zero"))  # by events, since a reset has taken the first step
        assert env.engine.run_episode(make_rule("zero"))
        task = env.engine.task
        seen[name] = [int(action) for action in task.worlds.actions(0)], task.observation(0).tolist()
        assert env.engine.raster["hidden_1"].any() == (name != "deaf")
    assert seen["turned"][0][:7] == seen["plain"][0][:7] and seen["turned"][1] != seen["plain"][1]
    by_hand = gymnasium.make("CartPole-v1")
    by_hand.reset(seed=task.worlds._episodes[0].seed)
    for number, action in enumerate(seen["turned"][0]):
        last = by_hand.step(action if number < 7 else 1 - action)[0]
    assert last.tolist() == pytest.approx(seen["turned"][1], abs=1e-5) and number > 8


def test_a_rule_that_follows_what_the_world_pays_learns_by_it():
    """Not just the same numbers: weights have moved by a factor that the loop itself has worked out."""
    options = {"third_factor": "targeted", "modulation": "factor", "noise": 0.3}
    lived = assert_same_lives(
        POLE, {**SMALL[POLE], **options}, lambda env: make_rule("stdp", **STDP), images=4, rounding=1e-4
    )
    assert lived.moved > 0.01


@pytest.mark.parametrize(
    ("env_id", "settings"), [(POLE, SMALL[POLE]), (ANY, FEW | WORLDS["rates, levels"])], ids=["pole", "by Python"]
)
def test_threads_change_nothing(env_id, settings):
    def weights(threads):
        torch.set_num_threads(threads)
        env = PlasticityVectorEnv(env_id, num_envs=5, **settings)
        env.reset(seed=1)
        for _ in range(4):
            env.run_episode(make_rule("stdp", **STDP))
        return env.engine.network.weights

    before = torch.get_num_threads()
    try:
        assert torch.equal(weights(1), weights(3))
    finally:
        torch.set_num_threads(before)


def test_a_task_that_pays_otherwise_is_not_compiled():
    class Generous(ControlTask):
        def reward(self, rows, before, actions, after, paid):
            return 2 * paid

    env = PlasticityVectorEnv(POLE, **SMALL[POLE])
    assert env.engine.task.closed_loop() is not None
    own = Generous(env.config, 1, torch.device("cpu"))
    assert own.closed_loop() is None


def test_parts_that_loops_do_not_know_leave_it_to_events():
    """A class derived from one of ours may do otherwise."""

    class Own(OneHotFields):
        def spikes(self, observation, step, uniform):
            return ~super().spikes(observation, step, uniform)

    env = PlasticityVectorEnv(POLE, **SMALL[POLE])
    task = env.engine.task
    assert control_loop(task) is not None
    task.encoder = Own(task.encoder.edges.numpy(), rate=0.5)
    assert control_loop(task) is None


def test_levels_that_a_class_of_ones_own_chooses_among_go_by_events():
    class Least(WinnerDecoder):
        def decode(self, counts, duration, uniform, last=None):
            return super().decode(-counts, duration, uniform, last)

    task = PlasticityVectorEnv(ANY, **FEW, **WORLDS["by chance, pushes"]).engine.task
    assert control_loop(task) is not None
    task.decoder = LevelsDecoder(Least(3, 3, tie="last"), [[-1.5], [0.1], [2]])
    assert control_loop(task) is None


def test_currents_go_by_events():
    currents = {"encoder": "value-current", "encoder_kwargs": {"amplitude": 0.1, "low": -3, "high": 3}}
    env = PlasticityVectorEnv(POLE, **{**SMALL[POLE], **currents})
    env.reset(seed=0)
    env.run_episode(make_rule("zero"))
    assert not env.lives_whole(make_rule("zero"))


class Breaks(gymnasium.Wrapper):
    """Pays NaN in its fifth step."""

    def reset(self, **kwargs):
        self.steps = 0
        return self.env.reset(**kwargs)

    def step(self, action):
        self.steps += 1
        observation, reward, *rest = self.env.step(action)
        return observation, float("nan") if self.steps == 5 else reward, *rest


def test_a_world_that_breaks_within_a_loop_says_so_and_can_begin_anew():
    gymnasium.register("Breaks-v0", lambda **kwargs: Breaks(gymnasium.make("Pendulum-v1", **kwargs)))
    try:
        config = {**FEW, **BELLS, **FORCES, "world": "Breaks-v0", "max_actions": 20}
        env = PlasticityVectorEnv(ANY, num_envs=2, **config)
        for _ in range(2):
            env.reset(seed=0)
            with pytest.raises(WorldError, match=r"world 'Breaks-v0', lifetime 0, step 4: the reward must be a finite"):
                env.run_episode(make_rule("zero")), env.run_episode(make_rule("zero"))
    finally:
        del gymnasium.registry["Breaks-v0"]


def test_ctrl_c_in_a_world_is_not_lost(monkeypatch):
    env = PlasticityVectorEnv(ANY, num_envs=2, **FEW, **WORLDS["bells, forces"])
    env.reset(seed=0)
    env.run_episode(make_rule("zero"))

    def interrupt(row, action):
        raise KeyboardInterrupt

    monkeypatch.setattr(env.engine.task.worlds, "move", interrupt)
    with pytest.raises(KeyboardInterrupt):
        env.run_episode(make_rule("zero"))


def test_a_copy_steps_worlds_of_its_own():
    env = PlasticityVectorEnv(ANY, num_envs=2, **FEW, **WORLDS["bells, forces"])
    env.reset(seed=0)
    for _ in range(2):
        env.run_episode(make_rule("zero"))
    copy = pickle.loads(pickle.dumps(env))
    one, other = (each.run_episode(make_rule("zero")) for each in (copy, env))
    assert torch.equal(one.payments, other.payments) and one.payments.abs().sum() > 0


def test_pictures_after_a_whole_episode():
    """The world that is drawn stands where the loop has left it."""
    env = PlasticityVectorEnv(POLE, render_mode="rgb_array", **SMALL[POLE])
    env.reset(seed=0)
    env.run_episode(make_rule("zero"))
    engine = env.engine
    assert engine.run_episode(make_rule("zero"))
    assert engine.task.worlds.frame(0).shape[2] == 3
    assert torch.equal(engine.task.worlds.observations([0]), engine.task.observations)


def test_what_was_highest_before_a_state_was_taken_over_is_forgotten():
    """An episode that goes on from a state knows nothing of the one that it takes the place of."""
    by_events = {**SMALL[CAR], "decoder": "softmax", "decoder_kwargs": {"group_size": 3}}
    lived, fresh = (PlasticityVectorEnv(CAR, num_envs=2, **by_events) for _ in range(2))
    for env in (lived, fresh):
        env.reset(seed=3)
        env.run_episode(make_rule("zero"))
    state = fresh.state_dict()
    wanted = fresh.run_episode(make_rule("zero")).info["highest"]
    lived.engine.task._highest.fill_(0.5)  # as if the car had been near its goal
    lived.load_state_dict(state)
    assert torch.equal(lived.run_episode(make_rule("zero")).info["highest"], wanted) and (wanted < 0.5).all()
