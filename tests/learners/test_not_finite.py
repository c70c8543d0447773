"""Numbers that are not finite stop a run, which names them, or are left out."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C
from toys import QUICK_FRONT, SMALL

from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.learners import on_policy
from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.learners.evolution import EventES
from snn_plasticity_gym.learners.ppo import EventPPO
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.runs.checkpoints import Checkpoints
from snn_plasticity_gym.trainers import train_a2c
from snn_plasticity_gym.utils.nonfinite import NotFiniteError
from snn_plasticity_gym.wrappers.sb3 import PlasticityVecEnv, make_sb3_env

ALGORITHMS = [EventA2C, EventPPO]
RULE = {"exploration": "rule", "n_steps": 2}


class Broken(PlasticityVectorEnv):
    """Something is not finite in lifetime 1 at the third image; `what` says what."""

    what = "reward"

    def finish(self):
        return self._spoil(super().finish())

    def run_some(self, rule, most):
        return [self._spoil(result) for result in super().run_some(rule, 1)]

    def _spoil(self, result):
        if self.engine.ages[1] == 3:
            if self.what == "reward":
                result.reward[1] = torch.nan
            elif self.what == "weight":
                self.engine.network.weights_of("inh_to_exc")[1, 0, 1] = torch.inf
        return result


def broken(what: str, algorithm: Any = EventA2C, **arguments: Any) -> Any:
    env = Broken("SNNPlastic-Unsup1-v0", num_envs=2, **SMALL)
    env.what = what
    sizes = QUICK_FRONT | {"hidden_sizes": (8, 8)}
    return algorithm("PlasticityPolicy", PlasticityVecEnv(env), seed=0, policy_kwargs=sizes, **arguments)


def learn(model: Any, images: int = 6) -> None:
    model.learn(images * 2 * SMALL["num_steps"])


@pytest.mark.parametrize("arguments", [{}, RULE], ids=["independent", "rule"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_reward_that_is_no_number_is_named(algorithm, arguments):
    with pytest.raises(NotFiniteError, match=r"^the reward is not finite in lifetime 1 \(at 72 steps of the run\)$"):
        learn(broken("reward", algorithm, **arguments))


@pytest.mark.parametrize("arguments", [{}, RULE], ids=["independent", "rule"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_or_its_rollout_is_not_learned_from(algorithm, arguments, caplog):
    model = broken("reward", algorithm, nan_policy="skip", normalize_returns=True, **arguments)
    learn(model)
    assert [message for message in caplog.messages if "rollout is discarded" in message] == [
        "the reward is not finite in lifetime 1 (at 72 steps of the run); the rollout is discarded"
    ]
    assert all(parameter.isfinite().all() for parameter in model.policy.parameters())
    assert model._n_updates > 0
    assert torch.tensor([float(model._return_scale.mean), float(model._return_scale.var)]).isfinite().all()


def test_an_evolution_strategy_is_told_nothing_of_such_a_generation(caplog):
    """The strategy goes on, and is the same again when it is told the same again, as by --resume."""
    model = broken("reward", EventES, nan_policy="skip", n_steps=2)
    learn(model, 10)
    assert [returns is None for returns in model._explore._fitness_history] == [
        True,
        False,
        False,
        False,
    ]  # the first measures
    again = broken("nothing", EventES, nan_policy="skip", n_steps=2)
    again._explore.load_state_dict(model._explore.state_dict())
    asked = [heads.strategy.ask() for heads in (model._explore, again._explore)]
    np.testing.assert_array_equal(*asked)
    with pytest.raises(NotFiniteError, match="the reward is not finite in lifetime 1"):
        learn(broken("reward", EventES, n_steps=2))


def test_a_weight_of_a_network_is_named():
    with pytest.raises(NotFiniteError, match=r"^a weight of inh_to_exc is not finite in lifetime 1 \(at 72 steps"):
        learn(broken("weight"))


def test_a_weight_change_is_named(monkeypatch):
    model = broken("nothing")
    act, calls = model._explore.act, []

    def bad(rule, events):
        actions, log_probs = act(rule, events)
        calls.append(len(actions))
        if len(calls) > SMALL["num_steps"] + 3 and int(events.lengths[1]):
            actions[int(events.lengths[0])] = torch.nan
        return actions, log_probs

    monkeypatch.setattr(model._explore, "act", bad)
    with pytest.raises(
        NotFiniteError, match=r"^delta_d must be finite, got NaN or infinity in lifetime 1, episode 2, time"
    ):
        learn(model)
    calls.clear()
    model = broken("nothing", nan_policy="skip")
    act = model._explore.act
    monkeypatch.setattr(model._explore, "act", bad)
    learn(model)
    assert all(parameter.isfinite().all() for parameter in model.policy.parameters())
    assert model.env.unwrapped.vector_env.engine.network.weights.isfinite().all()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_loss_that_is_no_number_is_named_or_its_step_left_out(algorithm, monkeypatch, caplog):
    model = broken("nothing", algorithm)
    module = __import__(algorithm.__module__, fromlist=["x"])
    name = "a2c_loss" if algorithm is EventA2C else "ppo_loss"
    real = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *arguments: real(*arguments) * torch.nan)
    with pytest.raises(NotFiniteError, match=r"^the gradient of the loss is not finite at 24 steps$"):
        learn(model)
    model = broken("nothing", algorithm, nan_policy="skip")
    before = [parameter.clone() for parameter in model.policy.parameters()]
    learn(model, 2)
    assert all(torch.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True))
    assert "the gradient of the loss is not finite at 24 steps; no step is taken" in caplog.messages


def test_a_policy_that_is_no_number_stops_in_any_case():
    model = broken("nothing", nan_policy="skip")
    with torch.no_grad():
        model.policy.rule.front.conv1.bias[0] = torch.nan
    with pytest.raises(NotFiniteError, match=r"^rule\.front\.conv1\.bias of the policy is not finite after 0 updates$"):
        learn(model)


def test_an_unknown_policy_is_refused():
    with pytest.raises(ValueError, match="nan_policy must be one of raise, skip, got 'rise'; did you mean 'raise'"):
        broken("nothing", nan_policy="rise")


def test_a_run_that_breaks_says_so_in_one_line_and_leaves_the_checkpoints_before(tmp_path, monkeypatch, capsys):
    step = on_policy.EventLearner.step_optimizer

    def breaking(self):
        if self.num_timesteps >= 8 * 10:
            for parameter in self.policy.parameters():
                parameter.grad *= torch.nan
        return step(self)

    monkeypatch.setattr(on_policy.EventLearner, "step_optimizer", breaking)
    flags = ["--dataset=digits", "--n_exc=8", "--num_steps=10", "--history_length=8", "--max_rate=0.02", "--num_envs=2"]
    flags += ["--gain_input_exc=20", "--episodes=16", "--checkpoint_every=2", "--eval_episodes=0", "--wandb=disabled"]
    flags += ["--no-report", "--no-progress", f"--run_dir={tmp_path}", "--run_name=run"]
    assert train_a2c.run_program(lambda: train_a2c.train(flags)) == 1
    (run,) = tmp_path.glob("*/run")
    error = capsys.readouterr().err
    assert error == (
        "error: the gradient of the loss is not finite at 80 steps; "
        f"the checkpoints in {run / 'checkpoints'} are from before\n"
    )
    newest = Checkpoints(run / "checkpoints").newest()
    assert newest["episodes"] == 6
    assert all(values.isfinite().all() for values in newest["learner"]["policy"].values())


@pytest.mark.parametrize("nan_policy", ["raise", "skip"])
@pytest.mark.parametrize(("algorithm", "arguments"), [(EventA2C, {}), (EventPPO, {"batch_size": 64})])
@pytest.mark.parametrize(
    ("rate", "message"),
    [
        (1e20, "the policy's weight changes are not finite: its parameters have grown without bound; lower learning_r"),
        (1e38, "learning_rate must be at most 1e+30, times critic_lr_scale, too, got 1e+38 after 0 updates"),
    ],
)
def test_a_huge_learning_rate_ends_in_one_line(algorithm, arguments, rate, message, nan_policy):
    env = make_sb3_env("SNNPlastic-Unsup1-v0", 2, **SMALL)
    model = algorithm("PlasticityPolicy", env, learning_rate=rate, nan_policy=nan_policy, seed=0, **arguments)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}[^\n]*$"):
        model.learn(4 * 2 * SMALL["num_steps"])


def test_a_huge_learning_rate_of_a_stock_algorithm_ends_in_one_line():
    env = make_sb3_env("SNNPlastic-Unsup1-v0", 2, **SMALL)
    model = A2C(PlasticityPolicy, env, learning_rate=1e30, seed=0)
    with pytest.raises(NotFiniteError, match=r"^the policy's weight changes are not finite[^\n]*lower learning_rate$"):
        model.learn(100)
