"""The gradient ceiling: it measures what can be known, and nothing where nothing can be known."""

import dataclasses
import json
import math

import pytest
import torch

from snn_plasticity_gym.config.ceiling import CeilingConfig
from snn_plasticity_gym.config.environments import GradConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.evaluation import gradient_ceiling as module
from snn_plasticity_gym.rules.registry import make_rule
from snn_plasticity_gym.trainers.gradient_ceiling import measure

SMALL = GradConfig(
    dataset="digits",
    hidden_sizes=(12,),
    layer_scalars=(0.5, 1.0),
    num_steps=6,
    history_length=6,
    max_rate=0.2,
    w_init=6.0,
)
SHORT = CeilingConfig(
    episodes=64, eval_episodes=32, num_envs=8, events_per_episode=400, batch_size=800, learning_rate=3e-3
)


@pytest.mark.parametrize("event_kinds", ["merged", "split"])
def test_targets_are_the_negative_gradient_and_networks_stay_as_they_are(event_kinds):
    settings = dataclasses.replace(SMALL, event_kinds=event_kinds)
    env = module._networks(SHORT, settings)
    before = env.engine.network.weights.clone()
    samples, layer = module._observe(env, 0, seed=0)
    torch.testing.assert_close(env.engine.network.weights, before, rtol=0, atol=1e-10)
    assert set(layer.tolist()) == {0, 1} and len(layer) == len(samples.returns)
    # The same image to the same networks with a known rule: its rewards are -g dw, event by event.
    plain = module.PlasticityVectorEnv(
        "SNNPlastic-Grad-v0", num_envs=8, **(module.to_dict(settings) | {"split": "train", "eta": 1e-6, "penalty": 0.0})
    )
    plain.reset(seed=SHORT.seed)
    while (events := plain.events()) is not None:
        plain.apply(torch.full_like(events.weight, -1.0))
    rewards = torch.cat(plain.finish().event_rewards) / -1e-6
    torch.testing.assert_close(samples.returns.sort().values, rewards.sort().values, rtol=1e-2, atol=1e-4)


def test_what_local_state_tells_of_the_output_layer_is_found_and_chance_is_not(monkeypatch):
    found = module.gradient_ceiling(SHORT, SMALL)
    assert found["cosine"][-1] > 0.1
    right = module._observe

    def shuffled(env, events_per_episode, seed):
        samples, layer = right(env, events_per_episode, seed)
        order = torch.randperm(len(layer), generator=torch.Generator().manual_seed(0))
        return samples._replace(returns=samples.returns[order]), layer

    monkeypatch.setattr(module, "_observe", shuffled)
    chance = module.gradient_ceiling(SHORT, SMALL)
    assert chance["cosine"][-1] < 0.5 * found["cosine"][-1]


def test_the_program_prints_a_table_and_one_line_of_json(capsys):
    flags = [f"--{name}={value}" for name, value in {"episodes": 8, "num_envs": 4, "eval_episodes": 4}.items()]
    network = ["--dataset=digits", "--hidden_sizes=6", "--layer_scalars=0.5,1", "--num_steps=4", "--history_length=4"]
    ceiling = measure([*flags, *network])
    printed = capsys.readouterr().out.splitlines()
    assert json.loads(printed[-1])["cosine"] == pytest.approx(ceiling["cosine"], nan_ok=True)
    assert len(ceiling["cosine"]) == len(ceiling["sign_agreement"]) == 2


def test_a_rule_is_measured_on_the_networks_of_the_ceiling(capsys, monkeypatch):
    """Against cosines of -g with what the rule answers, computed event by event, while networks stay as they are."""
    with pytest.raises(ConfigError, match="unknown rule 'nobody'"):
        measure(["--rules=nobody"])
    network = ["--dataset=digits", "--hidden_sizes=12", "--layer_scalars=0.5,1", "--num_steps=6", "--history_length=6"]
    flags = [
        "--max_rate=0.2",
        "--w_init=6",
        "--episodes=8",
        "--num_envs=1",
        "--eval_episodes=3",
        "--eta=0.1",
        "--rules=stdp,zero",
    ]
    found = measure([*network, *flags])["rules"]
    printed = capsys.readouterr().out.splitlines()
    assert json.loads(printed[-1])["rules"]["stdp"] == found["stdp"]
    assert all(map(math.isnan, found["zero"]["cosine"]))
    assert printed[4].split() == ["stdp"] and printed[6].split()[1] == f"{found['stdp']['cosine'][0]:.4f}"

    settings = module._fixed_networks(SHORT, SMALL)
    env = module.PlasticityVectorEnv(
        "SNNPlastic-Grad-v0", num_envs=1, **(module.to_dict(settings) | {"split": "validation"})
    )
    env.reset(seed=module.JUDGE_SEED)
    rule, cosines = make_rule("stdp", scale=0.1), []
    for _ in range(3):
        answers, layers = [], []
        while (events := env.events()) is not None:
            answers.append(rule(events).clamp(-1, 1))
            layers.append(events.projection)
            env.apply(torch.ones_like(events.weight))
        downhill = torch.cat(env.finish().event_rewards) * 1e12  # -g
        answer, layer = torch.cat(answers), torch.cat(layers)
        parts = [layer == place for place in range(2)]
        cosines.append([torch.nn.functional.cosine_similarity(downhill[m], answer[m], dim=0).item() for m in parts])
    assert found["stdp"]["cosine"] == pytest.approx(torch.tensor(cosines).mean(dim=0).tolist(), abs=1e-3)
