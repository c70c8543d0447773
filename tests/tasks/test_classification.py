"""The semi-supervised task: which steps are judged, who has answered, and what an episode tells."""

import gymnasium
import numpy as np
import pytest
import torch

from snn_plasticity_gym.config.environments import SemiConfig
from snn_plasticity_gym.envs.single import PlasticityEnv
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.tasks.classification import ClassificationTask
from snn_plasticity_gym.tasks.image_task import Episode, image_task

SEMI = "SNNPlastic-Semi-v0"
SMALL = {
    "dataset": "digits",
    "hidden_sizes": (7, 5),
    "num_steps": 6,
    "history_length": 6,
    "events_per_step": 1000,
    "max_rate": 0.1,
    "w_init": 12.0,
    "v_th": 0.3,
    "eta": 0.02,
    "alpha_margin": 0.7,
    "alpha_spike": 0.4,
}
JUDGED = [("none", 0), ("reward", 0), ("teaching", 0), ("teaching", 4), ("feedback", 0), ("feedback", 3)]
every_factor = pytest.mark.parametrize(("third_factor", "factor_steps"), JUDGED)


def slow_verdict(raster, label, taught, config):
    """Winner, reward and terms from the output spikes [step][output], without the last `taught` steps."""
    judged = raster[: len(raster) - taught]
    counts = [sum(step[k] for step in judged) for k in range(10)]
    winner = -1
    if any(counts):  # most spikes, then the earliest one, then the lowest index
        first_spike = [next((t for t, step in enumerate(judged) if step[k]), len(judged)) for k in range(10)]
        winner = min(range(10), key=lambda k: (-counts[k], first_spike[k], k))
    accuracy = 1.0 if winner == label else 0.0
    margin = (counts[label] - max(counts[k] for k in range(10) if k != label)) / len(judged)
    rate = sum(counts) / (10 * len(judged))
    right = 1.0 if winner == label else -1.0
    reward = right + config.alpha_margin * margin - config.alpha_spike * rate
    return winner, reward, {"accuracy": accuracy, "margin": margin, "output_rate": rate}


def answers(events, step):
    return torch.sin(events.synapse.double() * 0.7 + step + 0.4 * events.kind).float()


# Through the environment


def test_a_hidden_factor_moves_the_same_weights_and_is_in_no_event():
    settings = SMALL | {"third_factor": "feedback", "modulation": "factor", "local_state": ("surrogate",)}
    weights = {}
    for shown in (True, False):
        env = PlasticityVectorEnv(SEMI, 4, **settings, show_factor=shown)
        env.reset(seed=1)
        before = env.engine.network.weights.clone()
        for _ in range(3):
            step = 0
            while (events := env.events()) is not None:
                assert events.extra_names == (("factor", "surrogate") if shown else ("surrogate",))
                assert events.extras.shape[1] == len(events.extra_names)
                env.apply(answers(events, step))
                step += 1
            env.finish()
        weights[shown] = env.engine.network.weights.clone()
        assert not torch.equal(weights[shown], before)
        env.close()
    assert torch.equal(weights[True], weights[False])


@every_factor
def test_verdicts_against_a_loop_over_the_judged_steps(third_factor, factor_steps):
    env = PlasticityVectorEnv(SEMI, 4, **SMALL, third_factor=third_factor, factor_steps=factor_steps)
    env.reset(seed=1)
    winners = []
    for _ in range(5):
        shown = [image_task(env.engine.task).shown(row) for row in range(4)]
        while (events := env.events()) is not None:
            env.apply(answers(events, int(env.engine.steps[0])))
            raster = env.engine.raster["output"].tolist()
        result = env.finish()
        for row in range(4):
            winner, reward, terms = slow_verdict(raster[row], shown[row].label, factor_steps, env.config)
            assert int(result.info["winner"][row]) == winner
            assert float(result.reward[row]) == pytest.approx(reward, abs=1e-6)
            assert {name: float(term[row]) for name, term in result.terms.items()} == pytest.approx(terms, abs=1e-6)
            assert list(result.terms) == list(terms)
            assert int(result.info["label"][row]) == shown[row].label
            spikes = np.array(raster[row]).sum(axis=0)
            np.testing.assert_allclose(result.rates[row], spikes / 6, atol=1e-6)  # rates are the whole image's
            assert int(result.spikes["output"][row]) == spikes.sum()
            last = env.engine.last_episodes[row]
            assert (last.info["winner"], last.terms) == (winner, {n: float(t[row]) for n, t in result.terms.items()})
            winners.append(winner)
        assert result.event_rewards is None
    assert len(set(winners)) > 3


@every_factor
def test_the_last_step_tells_the_verdict(third_factor, factor_steps):
    settings = SMALL | {"third_factor": third_factor, "factor_steps": factor_steps}
    env = PlasticityEnv(SEMI, **settings)
    env.reset(seed=2)
    for _ in range(3):
        label, over, seen = image_task(env.engine.task).shown(0).label, False, 0
        observation = env._observe()
        while not over:
            seen += int(observation["mask"].sum())
            action = np.sin(1e4 * observation["weight"]).astype(np.float32)
            observation, reward, over, truncated, info = env.step(action)
            assert not truncated
            assert over or (reward, info) == (0.0, {})
        raster = env.engine.raster["output"][0].tolist()
        winner, expected, terms = slow_verdict(raster, label, factor_steps, env.config)
        assert reward == pytest.approx(expected, abs=1e-6)
        assert info.keys() == {
            *("reward_terms", "returns", "winner", "rates", "spikes", "num_events", "num_steps", "image", "label")
        }
        assert info["reward_terms"] == pytest.approx(terms, abs=1e-6)
        assert (info["winner"], info["label"], info["num_events"]) == (winner, label, seen)
        assert info["returns"] == [reward] * seen  # every event's return is the image's reward
        assert info["rates"].shape == (10,)
        assert info["spikes"].keys() == {"input", "hidden_1", "hidden_2", "output"}
        assert all((observation.pop(name) == -1).all() for name in ("group", "kind"))
        assert not any(values.any() for values in observation.values())
        env.reset()


def test_spikes_under_teaching_do_not_count():
    """A dead network whose label's neuron is driven in the last three of six steps: silent as far as anyone judges."""
    dead = SMALL | {"eta": 0.0, "third_factor": "teaching", "teaching_current": 5.0}
    for factor_steps, reward in ((3, -1.0), (0, 1 + 0.7 - 0.4 / 10)):
        env = PlasticityVectorEnv(SEMI, 3, **(dead | {"factor_steps": factor_steps}))
        env.reset(seed=0)
        env.engine.network.weights.zero_()
        env.reset()
        while (events := env.events()) is not None:
            env.apply(torch.zeros_like(events.weight))
        result = env.finish()
        assert result.spikes["output"].tolist() == [factor_steps or 6] * 3
        assert result.reward.tolist() == pytest.approx([reward] * 3)
        assert torch.equal(result.info["winner"], torch.full((3,), -1) if factor_steps else result.info["label"])


# A verdict by hand


def judge(raster, labels, **settings):
    """Judge output rasters (R, T, 10) that were made by hand."""
    config = SemiConfig(
        dataset="digits",
        hidden_sizes=(3,),
        num_steps=raster.shape[1],
        history_length=1,
        alpha_margin=0,
        alpha_spike=0,
        **settings,
    )
    task = ClassificationTask(config, len(labels), torch.device("cpu"))
    rows = torch.arange(len(labels))
    return task.judge(Episode(rows, rows, torch.tensor(labels), {"output": raster}, {}, []))


def test_a_tie_is_won_by_the_first_spike_of_the_judged_steps():
    raster = torch.zeros(4, 6, 10, dtype=torch.bool)
    raster[0, [3, 4, 5], 2] = True  # most spikes, but two of them under the factor
    raster[0, [1], 8] = True  # one judged spike each, this one earlier
    raster[1, [1, 2], 1] = True
    raster[1, [0, 3], 6] = True  # the first step
    raster[2, [0, 2], 9] = True
    raster[2, [0, 2], 4] = True  # all alike: the lowest
    raster[3, [4, 5], 7] = True  # nothing is left
    told = {"third_factor": "teaching", "factor_steps": 2}
    verdict = judge(raster, [8, 6, 4, 7], **told)
    assert verdict.winners.tolist() == [8, 6, 4, -1]
    assert verdict.result.reward.tolist() == [1.0, 1.0, 1.0, -1.0]
    assert verdict.result.terms["accuracy"].tolist() == [1.0, 1.0, 1.0, 0.0]
    assert verdict.result.terms["output_rate"].tolist() == pytest.approx([2 / 40, 4 / 40, 4 / 40, 0.0])
    verdict = judge(raster, [8, 6, 4, 7])
    assert verdict.winners.tolist() == [2, 6, 4, 7]
    assert verdict.result.reward.tolist() == [-1.0, 1.0, 1.0, 1.0]


def test_only_the_first_step_may_be_left_to_judge():
    raster = torch.zeros(2, 4, 10, dtype=torch.bool)
    raster[:, 1:, 5] = True
    raster[0, 0, 0] = True
    verdict = judge(raster, [0, 5], third_factor="feedback", factor_steps=3)
    assert verdict.winners.tolist() == [0, -1]
    assert verdict.result.terms["margin"].tolist() == [1.0, 0.0]


# The network


def test_one_group_of_plastic_synapses_in_every_layer():
    env = PlasticityVectorEnv(SEMI, 2, **SMALL)
    names = ["input_to_hidden_1", "hidden_1_to_hidden_2", "hidden_2_to_output"]
    assert list(env.engine.plastic_weights(0)) == names
    assert env.engine.heads == ["semi"]
    split = PlasticityVectorEnv(SEMI, 2, **SMALL, event_kinds="split")
    assert split.engine.heads == ["semi_pre", "semi_post"]


@pytest.mark.parametrize("third_factor", ["none", "teaching"])
def test_the_default_network_is_alive(third_factor):
    env = gymnasium.make_vec(SEMI, num_envs=6, dataset="digits", third_factor=third_factor)
    env.reset(seed=0)
    while (events := env.events()) is not None:
        env.apply(torch.zeros_like(events.weight))
    result = env.finish()
    for name, spikes in result.spikes.items():
        size = env.engine.network.populations[name].size
        assert 0.005 < (spikes.float() / (size * env.config.num_steps)).mean() < 0.6, name
    assert (result.spikes["output"] > 0).all()
