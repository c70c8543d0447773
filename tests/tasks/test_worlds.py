"""Worlds: what Gymnasium does when stepped by hand, each lifetime for itself, and taken up again in the middle."""

import copy
import logging
import os
import pickle
import re
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from toys_worlds import BANDIT, CORRIDOR, BanditOfOneStep, Corridor

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.tasks.worlds import WorldError, Worlds, WorldStep

CLASSIC = ["CartPole-v1", "MountainCar-v0", "Pendulum-v1"]


def some_actions(space: gymnasium.Space[Any], steps: int, rows: int, seed: int = 0) -> torch.Tensor:
    """Random actions as decoders give them, (steps, R) or (steps, R, A)."""
    rng = np.random.default_rng(seed)
    if isinstance(space, spaces.Discrete):
        return torch.from_numpy(rng.integers(space.n, size=(steps, rows)))
    low, high = space.low.reshape(-1), space.high.reshape(-1)
    return torch.from_numpy(rng.uniform(low, high, size=(steps, rows, len(low))).astype(np.float32))


@pytest.mark.parametrize("id", CLASSIC)
def test_each_lifetime_is_gymnasium_stepped_by_hand(id):
    worlds = Worlds(id, 3, world_kwargs={"max_episode_steps": 30})
    actions = some_actions(worlds.action_space, 40, 3)
    begun = worlds.reset([0, 1, 2], [5, 6, 7])
    seen: list[list[Any]] = [[begun[row]] for row in range(3)]
    running = [0, 1, 2]
    for step in range(40):
        if not running:
            break
        result = worlds.step(torch.tensor(running), actions[step, running])
        for place, row in enumerate(running):
            seen[row].append([part[place] for part in result[:4]])
        running = [row for place, row in enumerate(running) if not (result.terminated | result.truncated)[place]]
    assert not running
    for row in range(3):
        env = gymnasium.make(id, max_episode_steps=30)
        expected, _ = env.reset(seed=5 + row)
        assert seen[row][0].tolist() == expected.tolist()
        for step, (observation, reward, terminated, truncated) in enumerate(seen[row][1:]):
            expected = env.step(np.asarray(actions[step, row]))
            assert observation.tolist() == expected[0].tolist()
            assert reward.item() == np.float32(expected[1])
            assert (terminated.item(), truncated.item()) == expected[2:4]
        assert terminated or truncated


def test_form_of_a_step():
    worlds = Worlds("Pendulum-v1", 2)
    assert worlds.observation_space.shape == (3,) and worlds.max_episode_steps == 200
    assert worlds.reset(torch.tensor([1]), [0]).shape == (1, 3)
    result = worlds.step(torch.tensor([1]), torch.tensor([[0.5]]))
    assert [part.shape for part in result[:4]] == [(1, 3), (1,), (1,), (1,)]
    assert [part.dtype for part in result[:4]] == [torch.float32, torch.float32, torch.bool, torch.bool]
    assert result.infos == [{}]


def test_no_rows_are_no_problem():
    worlds = Worlds(BANDIT, 1)
    assert worlds.reset([], []).shape == (0, 1)
    result = worlds.step([], torch.empty(0, dtype=torch.int64))
    assert [len(part) for part in result] == [0] * 5 and result.observation.shape == (0, 1)


@pytest.mark.parametrize("id", CLASSIC)
def test_a_lifetime_does_not_depend_on_how_many_there_are(id):
    many, one = Worlds(id, 5), Worlds(id, 1)
    actions = some_actions(many.action_space, 8, 5)
    together = [many.reset(range(5), [1, 2, 3, 4, 5])]
    alone = [one.reset([0], [4])]
    for step in range(8):
        together.append(many.step(range(5), actions[step]).observation)
        alone.append(one.step([0], actions[step, 3:4]).observation)
    assert torch.equal(torch.stack(together)[:, 3], torch.stack(alone)[:, 0])


def test_an_episode_is_a_function_of_its_seed_alone():
    worlds = Worlds("CartPole-v1", 2)
    first = worlds.reset([0, 1], [9, 9])
    worlds.step([0], torch.tensor([1]))
    again = worlds.reset([0], [9])
    assert torch.equal(first[0], first[1]) and torch.equal(first[0], again[0])
    assert not torch.equal(worlds.reset([0], [10])[0], again[0])


def test_copies_are_made_when_they_are_needed(monkeypatch):
    made = []
    make = gymnasium.make
    monkeypatch.setattr(gymnasium, "make", lambda *args, **kwargs: made.append(kwargs) or make(*args, **kwargs))
    worlds = Worlds("CartPole-v1", 50)
    assert len(made) == 1
    worlds.reset([0, 7], [1, 2])
    assert len(made) == 2
    assert all("render_mode" not in kwargs for kwargs in made)


class Odd(gymnasium.Env[Any, Any]):
    """Does what it is told to in the step after `good` good ones."""

    def __init__(self, fault: str = "", good: int = 2, start: int = 0, dict_space: bool = False) -> None:
        box = spaces.Box(-9, 9, (2,), np.float32)
        self.observation_space = spaces.Dict({"b": box, "a": spaces.Discrete(2)}) if dict_space else box
        self.action_space = spaces.Discrete(3, start=start)
        self._fault, self._good, self._dict, self._count, self.actions = fault, good, dict_space, 0, []

    def _seen(self) -> Any:
        observation = np.array([self._count, -1], np.float32)
        return {"b": observation, "a": 1} if self._dict else observation

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._count = 0
        if self._fault == "reset":
            raise RuntimeError("no\nbeginning")
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        self._count += 1
        self.actions.append(action)
        observation, reward = self._seen(), 1.0
        if self._count > self._good:
            if self._fault == "once":
                self._fault = ""
                raise OSError("a wire came off")
            if self._fault == "raise":
                raise KeyError("wheel")
            if self._fault == "nan":
                observation[1] = np.nan
            if self._fault == "shape":
                observation = observation[:1]
            reward = {"reward": np.nan, "infinite": np.inf, "rewards": np.ones(2)}.get(self._fault, 1.0)
        return observation, reward, False, False, {"count": self._count}


@pytest.fixture(autouse=True, scope="module")
def odd_world():
    gymnasium.register("toys/Odd-v0", entry_point=Odd)
    yield
    gymnasium.registry.pop("toys/Odd-v0")


def odd(lifetimes: int = 3, **kwargs: Any) -> Worlds:
    return Worlds("toys/Odd-v0", lifetimes, world_kwargs=kwargs)


def test_discrete_actions_begin_at_the_worlds_start():
    worlds = odd(1, start=-1)
    worlds.reset([0], [0])
    for action in (0, 1, 2):
        worlds.step([0], torch.tensor([action]))
    assert worlds._envs[0].unwrapped.actions == [-1, 0, 1]  # type: ignore[union-attr]


def test_compound_observations_are_flattened():
    worlds = odd(2, dict_space=True)
    assert worlds.observation_space.shape == (4,)
    assert worlds.reset([0, 1], [0, 0]).tolist() == [[0, 1, 0, -1]] * 2
    result = worlds.step([1], torch.tensor([0]))
    assert result.observation.tolist() == [[0, 1, 1, -1]] and result.infos == [{"count": 1}]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", "step 2: KeyError: 'wheel'"),
        ("nan", "step 2: the observation must be numbers, got NaN at [1]"),
        ("shape", "step 2: the observation must have shape (2,), got (1,)"),
        ("reward", "step 2: the reward must be a finite number, got nan"),
        ("infinite", "step 2: the reward must be a finite number, got inf"),
        ("rewards", "step 2: "),
    ],
)
def test_faults_of_a_world_are_named(fault, message):
    worlds = odd(fault=fault)
    worlds.reset([0, 1, 2], [0, 0, 0])
    for _ in range(2):
        worlds.step([1, 2], torch.tensor([0, 0]))
    with pytest.raises(WorldError) as caught:
        worlds.step([0, 2], torch.tensor([0, 0]))
    assert str(caught.value).startswith(f"world 'toys/Odd-v0', lifetime 2, {message}")
    assert "\n" not in str(caught.value)


def test_a_reset_that_raises_is_named():
    with pytest.raises(WorldError) as caught:
        odd(fault="reset").reset([1], [0])
    assert str(caught.value) == "world 'toys/Odd-v0', lifetime 1, reset: RuntimeError: no beginning"


def test_after_a_fault_the_episode_stands_where_it_stood():
    worlds = odd(1, fault="once")
    worlds.reset([0], [0])
    for _ in range(2):
        worlds.step([0], torch.tensor([0]))
    with pytest.raises(WorldError, match="step 2: OSError: a wire came off"):
        worlds.step([0], torch.tensor([0]))  # the world itself has counted on
    assert worlds.observations([0]).tolist() == [[2, -1]]
    assert worlds.step([0], torch.tensor([0])).observation.tolist() == [[3, -1]]


@pytest.mark.parametrize("action", [torch.tensor([2]), torch.tensor([-1]), torch.tensor([0.0]), torch.tensor([[0]])])
def test_actions_that_are_not_the_worlds(action):
    worlds = Worlds("CartPole-v1", 1)
    worlds.reset([0], [0])
    with pytest.raises(WorldError, match="lifetime 0, step 0: the action must be an integer from 0 to 1"):
        worlds.step([0], action)


def test_order_of_calls():
    worlds = Worlds(BANDIT, 2)
    with pytest.raises(WorldError, match="lifetime 1: no episode has begun; call reset first"):
        worlds.step([1], torch.tensor([0]))
    worlds.reset([0, 1], [0, 0])
    worlds.step([1], torch.tensor([0]))
    with pytest.raises(WorldError, match="lifetime 1: the episode has ended; call reset first"):
        worlds.step([1], torch.tensor([0]))
    worlds.step([0], torch.tensor([0]))


def test_seeds_are_not_negative():
    with pytest.raises(WorldError, match=r"world 'CartPole-v1', lifetime 0, reset: .*-1"):
        Worlds("CartPole-v1", 1).reset([0], [-1])


@pytest.mark.parametrize(
    ("id", "kwargs", "message"),
    [
        (
            "CartPol-v1",
            {},
            "world 'CartPol-v1' cannot be made: Environment `CartPol` doesn't exist. Did you mean: `CartP",
        ),
        (
            "CartPole-v9",
            {},
            "world 'CartPole-v9' cannot be made: Environment version `v9` for environment `CartPole` d",
        ),
        ("nowhere:A-v0", {}, "world 'nowhere:A-v0' cannot be made: ModuleNotFoundError: No module named 'nowhere'"),
        ("CartPole-v1", {"gravty": 1}, "world 'CartPole-v1' cannot be made: TypeError: .*gravty"),
        ("CartPole-v1", {"render_mode": "human"}, "world_kwargs cannot hold render_mode; ask for pictures with render"),
    ],
)
def test_worlds_that_cannot_be_made(id, kwargs, message):
    with pytest.raises(ConfigError, match=message) as caught:
        Worlds(id, 1, world_kwargs=kwargs)
    assert "\n" not in str(caught.value)


def test_modules_may_register_worlds():
    assert Worlds("toys_worlds:toys/Corridor-v0", 1).observation_space.shape == (5,)


def play(worlds: Worlds, actions: torch.Tensor) -> list[WorldStep]:
    return [worlds.step(range(worlds.num_lifetimes), action) for action in actions]


def equal(one: list[WorldStep], other: list[WorldStep]) -> bool:
    return all(
        torch.equal(a, b)
        for first, second in zip(one, other, strict=True)
        for a, b in zip(first[:4], second[:4], strict=True)
    )


@pytest.mark.parametrize("id", [*CLASSIC, CORRIDOR])
@pytest.mark.parametrize("how", ["state", "pickle", "copy", "close"])
def test_an_episode_goes_on_as_it_would_have(id, how, tmp_path):
    kwargs = {"cells": 30} if id == CORRIDOR else {}
    worlds, twin = (Worlds(id, 3, world_kwargs=kwargs) for _ in range(2))
    actions = some_actions(worlds.action_space, 10, 3, seed=2)
    for one in (worlds, twin):
        one.reset([0, 1, 2], [3, 4, 5])
        one.step([1], actions[0, 1:2])  # they are not at the same step
        play(one, actions[:6])
    if how == "state":
        torch.save(worlds.state_dict(), tmp_path / "state.pt")
        worlds = Worlds(id, 3, world_kwargs=kwargs)
        worlds.reset([0], [77])
        worlds.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    elif how == "pickle":
        worlds = pickle.loads(pickle.dumps(worlds))
    elif how == "copy":
        worlds = copy.deepcopy(worlds)
    else:
        worlds.close()
    assert torch.equal(worlds.observations([0, 1, 2]), twin.observations([0, 1, 2]))
    assert equal(play(worlds, actions[6:]), play(twin, actions[6:]))


def test_a_state_holds_what_has_not_begun_and_what_has_ended():
    worlds, twin = Worlds(BANDIT, 3), Worlds(BANDIT, 3)
    worlds.reset([1, 2], [0, 0])
    worlds.step([2], torch.tensor([1]))
    twin.load_state_dict(worlds.state_dict())
    for row, message in ((0, "no episode has begun"), (2, "the episode has ended")):
        with pytest.raises(WorldError, match=message):
            twin.step([row], torch.tensor([1]))
    assert twin.step([1], torch.tensor([1])).reward.item() == 1


def test_a_state_does_not_change_while_worlds_live_on():
    worlds = Worlds("CartPole-v1", 1)
    worlds.reset([0], [0])
    state = worlds.state_dict()
    before = copy.deepcopy(state)
    worlds.step([0], torch.tensor([1]))
    assert str(state) == str(before)
    latest = worlds.observations([0])
    worlds.state_dict()["episodes"][0]["observation"].zero_()
    assert torch.equal(worlds.observations([0]), latest)


def test_a_state_of_other_worlds_is_refused():
    with pytest.raises(ValueError, match="the state must hold 2 episodes, got 3"):
        Worlds(BANDIT, 2).load_state_dict(Worlds(BANDIT, 3).state_dict())
    other = Worlds("CartPole-v1", 2)
    other.reset([1], [0])
    with pytest.raises(ValueError, match=r"observations of the state must have shape \(1,\), .* got \(4,\)"):
        Worlds(BANDIT, 2).load_state_dict(other.state_dict())


def test_a_world_that_ignores_its_seed_cannot_be_taken_up():
    class Wilful(Corridor):
        starts = iter(range(4))

        def reset(self, **kwargs: Any) -> Any:
            super().reset(**kwargs)
            self._cell = next(Wilful.starts)
            return self._observation(), {}

    gymnasium.register("toys/Wilful-v0", entry_point=Wilful)
    try:
        worlds = Worlds("toys/Wilful-v0", 1)
        worlds.reset([0], [0])
        worlds.load_state_dict(worlds.state_dict())
        with pytest.raises(WorldError, match="first 0 steps, taken again: they lead to another observation"):
            worlds.step([0], torch.tensor([1]))
    finally:
        gymnasium.registry.pop("toys/Wilful-v0")


def test_frames_are_pictures():
    worlds = Worlds(CORRIDOR, 2, render=True)
    worlds.reset([0, 1], [0, 0])
    worlds.step([1], torch.tensor([1]))
    first, second = worlds.frame(0), worlds.frame(1)
    assert first is not None and second is not None
    assert first.shape == second.shape == (4, 20, 3) and first.dtype == np.uint8
    assert first[0, :, 0].nonzero()[0].tolist() == [0, 1, 2, 3]
    assert second[0, :, 0].nonzero()[0].tolist() == [4, 5, 6, 7]


def test_drawing_leaves_an_episode_alone():
    drawn, plain = Worlds(CORRIDOR, 1, render=True), Worlds(CORRIDOR, 1)
    for worlds in (drawn, plain):
        worlds.reset([0], [0])
    for _ in range(4):
        drawn.frame(0)
        steps = [worlds.step([0], torch.tensor([1])) for worlds in (drawn, plain)]
        assert equal(steps[:1], steps[1:])


@pytest.mark.parametrize("id", ["CartPole-v1", BANDIT, "toys/Odd-v0"])
def test_without_a_rendering_package_there_is_one_warning_and_no_picture(id, caplog, monkeypatch):
    """CartPole lacks pygame, the bandit draws nothing, the odd world does not know of pictures."""
    monkeypatch.setitem(__import__("sys").modules, "pygame", None)
    with caplog.at_level(logging.WARNING, logger="snn_plasticity_gym"):
        worlds = Worlds(id, 2, render=True)
        worlds.reset([0, 1], [0, 0])
        assert worlds.frame(0) is None and worlds.frame(1) is None and worlds.frame(0) is None
    assert len(caplog.records) == 1
    assert f"world '{id}' cannot be drawn: " in caplog.text
    worlds.step([0], torch.tensor([0]))


def test_frames_have_to_be_asked_for():
    worlds = Worlds(CORRIDOR, 1)
    worlds.reset([0], [0])
    with pytest.raises(ConfigError, match="was made without pictures; make it with render=True"):
        worlds.frame(0)


@pytest.mark.parametrize("env", [BanditOfOneStep(), BanditOfOneStep(-1), Corridor(), Corridor(2, one_hot=False)])
@pytest.mark.filterwarnings("error")
@pytest.mark.filterwarnings("ignore:.*not having a spec.*")
def test_toys_are_good_citizens(env):
    check_env(env, skip_render_check=True)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_bandit_pays_by_hand(sign):
    worlds = Worlds(BANDIT, 2, world_kwargs={"sign": sign})
    worlds.reset([0, 1], [0, 0])
    result = worlds.step([0, 1], torch.tensor([0, 1]))
    assert result.reward.tolist() == [-sign, sign]
    assert result.terminated.all() and not result.truncated.any()


@pytest.mark.parametrize("sign", [1, -1])
def test_the_corridor_pays_by_hand(sign):
    worlds = Worlds(CORRIDOR, 1, world_kwargs={"cells": 4, "sign": sign, "one_hot": False})
    assert worlds.reset([0], [0]).tolist() == [[0.0]]
    steps = [worlds.step([0], torch.tensor([action])) for action in (0, 1, 0, 1, 1, 1)]
    assert [step.observation.item() for step in steps] == pytest.approx([0, 1 / 3, 0, 1 / 3, 2 / 3, 1])
    assert [step.reward.item() for step in steps] == pytest.approx([-0.01 * sign] * 5 + [0.99 * sign])
    assert [step.terminated.item() for step in steps] == [False] * 5 + [True]


def test_the_corridor_truncates_after_its_cap():
    worlds = Worlds(CORRIDOR, 1, world_kwargs={"cap": 3})
    worlds.reset([0], [0])
    steps = [worlds.step([0], torch.tensor([0])) for _ in range(3)]
    assert [step.truncated.item() for step in steps] == [False, False, True]
    assert not any(step.terminated.item() for step in steps)
    with pytest.raises(WorldError, match="the episode has ended"):
        worlds.step([0], torch.tensor([0]))


def test_the_corridor_may_begin_anywhere_but_at_the_end():
    worlds = Worlds(CORRIDOR, 40, world_kwargs={"random_start": True})
    starts = worlds.reset(range(40), list(range(40))).argmax(dim=1)
    assert sorted(set(starts.tolist())) == [0, 1, 2, 3]


def test_pictures_may_be_allowed_later_in_the_middle_of_an_episode():
    worlds = Worlds(CORRIDOR, 2)
    worlds.reset([0, 1], [0, 0])
    for action in (1, 1, 0):
        worlds.step([1], torch.tensor([action]))
    worlds.allow_pictures()
    assert worlds.frame(0)[0, :, 0].argmax() == 0 and worlds.frame(1)[0, :, 0].argmax() == 4
    before = worlds._envs[1]
    worlds.allow_pictures()
    assert worlds._envs[1] is before  # nothing is made anew twice


def test_actions_so_far():
    worlds = Worlds("Pendulum-v1", 2)
    worlds.reset([0, 1], [0, 0])
    worlds.step([1], torch.tensor([[0.5]]))
    taken = worlds.actions(1)
    taken[0][:] = 2.0
    assert worlds.actions(0) == [] and [action.tolist() for action in worlds.actions(1)] == [[0.5]]
    with pytest.raises(WorldError, match="no episode has begun"):
        Worlds(CORRIDOR, 1).actions(0)


def test_another_body():
    """Attributes are changed in every copy, and what Gymnasium makes of them is another world."""
    worlds = Worlds("CartPole-v1", 2, attributes={"length": 1.0, "polemass_length": 0.1})
    plain = Worlds("CartPole-v1", 2)
    for one in (worlds, plain):
        one.reset([0, 1], [3, 4])
    pushed = torch.tensor([1, 1])
    long, short = (one.step([0, 1], pushed).observation for one in (worlds, plain))
    assert (long[:, 3].abs() < short[:, 3].abs()).all() and torch.equal(long[:, 0], short[:, 0])
    assert worlds.tables().cart_pole.length == 1.0 and plain.tables().cart_pole.length == 0.5


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"lenght": 1.0}, "'lenght' of world 'CartPole-v1': it has no such number"),
        ({"kinematics_integrator": 1.0}, "it has str there, no number"),
        ({"length": "long"}, "'length' must be a finite number, got 'long'"),
        ({"length": float("nan")}, "'length' must be a finite number, got nan"),
        ({"length": True}, "'length' must be a finite number, got True"),
    ],
)
def test_attributes_that_cannot_be(attributes, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Worlds("CartPole-v1", 1, attributes=attributes)


def test_a_world_whose_engine_is_not_installed(monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("Box2D", "gymnasium.envs.box2d"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "Box2D", None)
    with pytest.raises(ConfigError, match=r"world 'LunarLander-v3' cannot be made: .*gymnasium\[box2d\]"):
        Worlds("LunarLander-v3", 1)


def test_mujoco_without_a_screen_is_asked_once_to_draw_and_not_again():
    """A second attempt would abort the whole process."""
    pytest.importorskip("mujoco")
    program = (
        "import logging; logging.basicConfig()\n"
        "from snn_plasticity_gym.tasks.worlds import Worlds\n"
        "for world in ('InvertedPendulum-v5', 'HalfCheetah-v5'):\n"
        "    worlds = Worlds(world, 2, render=True); worlds.reset([0, 1], [0, 1])\n"
        "    print(worlds.frame(0) is None, worlds.frame(1) is None)\n"
    )
    blind = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "MUJOCO_GL")}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env=blind)
    assert run.returncode == 0, run.stderr
    drawn = run.stdout.split()
    assert drawn in (["True"] * 4, ["False"] * 4)  # without a screen, and with one
    assert run.stderr.count("cannot be drawn") == (2 if drawn[0] == "True" else 0)
