"""The gradient task against autograd through an independent differentiable network with a leaf weight for each step."""

import functools

import gymnasium
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from grids import grid

import snn_plasticity_gym  # noqa: F401
from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.networks.differentiable import forward
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.surrogate import spike
from snn_plasticity_gym.tasks.image_task import image_task

ID = "SNNPlastic-Grad-v0"
SMALL = {
    "dataset": "digits",
    "hidden_sizes": (9, 7),
    "layer_scalars": (0.3, 0.6, 1.0),
    "num_steps": 6,
    "history_length": 4,
    "max_rate": 0.3,
    "eta": 0.05,
    "penalty": 0.3,
    "events_per_step": 3000,
    "surrogate_width": 1.7,
}


def answers(events, step: int) -> torch.Tensor:
    """Weight changes that are a function of synapse, kind and step, so that both faces can give the same."""
    return torch.sin(events.synapse.double() * 0.7 + step + 0.4 * events.kind).float()


def run_flat(num_envs: int, episodes: int = 1, **settings):
    """Let networks live; return the env and results; for the last episode weights of each step, (step, events), ..."""
    env = gymnasium.make_vec(ID, num_envs=num_envs, **(SMALL | settings))
    env.reset(seed=3)
    results = []
    for _ in range(episodes):
        used, written = [], []
        inputs = env.engine.raster["input"].clone()
        labels = torch.tensor([image_task(env.engine.task).shown(row).label for row in range(num_envs)])
        first = env.engine.network.weights.clone()
        while (events := env.events()) is not None:
            step = int(env.engine.steps[0])
            if len(used) < step:  # the first events of a step: it was made with the weights as they are now
                used.append([env.engine.network.weights_of(p.name).clone() for p in env.engine.network.projections])
            written.append((step, events))
            env.apply(answers(events, step))
        last = env.engine.network.weights.clone()
        results.append(env.finish())
    assert not torch.equal(first, last)
    return env, results, used, written, inputs, labels, last


@pytest.mark.parametrize(("surrogate", "event_kinds"), grid(["rectangular", "fast_sigmoid"], ["merged", "split"]))
def test_every_event_reward_is_that_of_autograd(surrogate, event_kinds):
    env, results, used, written, inputs, labels, last = run_flat(
        4, episodes=2, surrogate=surrogate, event_kinds=event_kinds
    )
    config = env.config
    assert torch.equal(env.engine.network.weights, last)  # the teacher leaves the weights as they are
    weights = [
        torch.stack([step[layer] for step in used]).double().requires_grad_() for layer in range(3)
    ]  # (T, B, n_pre, n_post) each
    params = LIFParams(config.tau_mem, config.v_rest, config.v_reset, config.v_th, config.resistance)
    spike_fn = functools.partial(spike, surrogate=surrogate, width=config.surrogate_width)
    activity = forward(weights, inputs.transpose(0, 1).double(), params, config.dt, [1.0] * 3, spike_fn)
    logits = config.alpha_softmax * activity.spikes[-1].mean(dim=0)  # (B, 10)
    loss = F.cross_entropy(logits, labels, reduction="none")
    loss.sum().backward()
    result = results[-1]
    torch.testing.assert_close(result.terms["loss"].double(), loss.detach(), rtol=1e-5, atol=1e-6)
    assert any(w.grad.abs().sum() > 0 for w in weights[:1])  # the teacher reaches the first layer

    network, seen = env.engine.network, 0
    sums = torch.zeros(4, 3, 3, dtype=torch.float64)  # lifetime, layer, (product, gradients, changes)
    assert len(used) == config.num_steps
    assert len(written) == config.num_steps * (2 if event_kinds == "split" else 1)
    for (step, events), rewards in zip(written, result.event_rewards, strict=True):
        assert len(rewards) == len(events.weight)
        change = config.eta * answers(events, step)
        for event in range(len(events.weight)):
            layer = int(events.projection[event])
            _, n_pre, n_post = weights[layer].shape[1:]
            address = int(events.synapse[event]) - network.offsets[network.projections[layer].name]
            n_pre, n_post = weights[layer].shape[2:]
            lifetime, pre, post = address // (n_pre * n_post), address // n_post % n_pre, address % n_post
            gradient = weights[layer].grad[step - 1, lifetime, pre, post].item()
            dw = change[event].item()
            assert rewards[event].item() == pytest.approx(-gradient * dw - 0.3 * dw**2, rel=1e-4, abs=1e-7)
            sums[lifetime, layer] += torch.tensor([-gradient * dw, gradient**2, dw**2], dtype=torch.float64)
            seen += 1
    assert seen == int(result.num_events.sum()) > 1000
    for layer in range(3):
        product, gradients, changes = sums[:, layer].T
        cosine = (product / (gradients * changes).sqrt()).float()
        torch.testing.assert_close(result.terms[f"cosine_{layer + 1}"], cosine, rtol=1e-3, atol=1e-5, equal_nan=True)
    assert result.reward.tolist() == pytest.approx(
        (result.terms["alignment"] - result.terms["penalty"]).tolist(), abs=1e-7
    )


def test_following_the_gradient_is_seen_as_such():
    """A rule that is told -g has cosine 1 and full sign agreement; its opposite has -1 and none."""
    first = run_flat(2, eta=1e-7, penalty=0.0)  # so small that the second life is the first one again
    told = [
        -(rewards / (1e-7 * answers(events, step)))
        for (step, events), rewards in zip(first[3], first[1][0].event_rewards, strict=True)
    ]
    for sign in (1.0, -1.0):
        env = gymnasium.make_vec(ID, num_envs=2, **(SMALL | {"eta": 1e-7, "penalty": 0.0}))
        env.reset(seed=3)
        scale = max(float(g.abs().max()) for g in told)
        for gradient in told:
            env.apply(-sign * gradient / scale)
        terms = env.finish().terms
        for layer in (1, 2, 3):
            told_here = ~terms[f"cosine_{layer}"].isnan()
            torch.testing.assert_close(
                terms[f"cosine_{layer}"][told_here], torch.full((int(told_here.sum()),), sign), atol=1e-3, rtol=0
            )
            agreement = terms[f"sign_agreement_{layer}"][told_here]
            torch.testing.assert_close(agreement, torch.full_like(agreement, float(sign > 0)), atol=0.01, rtol=0)


@pytest.mark.parametrize(("slots", "event_kinds"), [(500, "merged"), (20_000, "merged"), (500, "split")])
def test_slots_give_the_rewards_of_the_flat_face(slots, event_kinds):
    _, results, _, written, *_ = run_flat(3, event_kinds=event_kinds)
    flat = results[0]
    env = gymnasium.make_vec(ID, num_envs=3, **(SMALL | {"events_per_step": slots, "event_kinds": event_kinds}))
    observation, _ = env.reset(seed=3)
    finals = {}
    while len(finals) < 3:
        actions = np.zeros((3, slots), dtype=np.float32)
        for row, queue in enumerate(env._interface._split()):
            part = env._interface._presented(row, queue)
            actions[row, : len(part.weight)] = answers(part, int(env.engine.steps[row]))
            assert np.allclose(observation["layer"][row][: len(part.weight)], part.extras[:, 0])
        observation, rewards, terminations, _, infos = env.step(actions)
        for row in np.flatnonzero(terminations):
            if row not in finals:
                finals[row] = (rewards[row], infos["final_info"]["returns"][row])
    for row in range(3):
        reward, returns = finals[row]
        assert reward == pytest.approx(float(flat.reward[row]), rel=1e-4, abs=1e-9)
        own = [
            rewards[events.lengths[:row].sum() : events.lengths[: row + 1].sum()]
            for (_, events), rewards in zip(written, flat.event_rewards, strict=True)
        ]
        np.testing.assert_allclose(returns, torch.cat(own).numpy(), rtol=1e-4, atol=1e-8)


def test_layers_are_told_by_their_scalar():
    _, _, _, written, *_ = run_flat(2)
    for _, events in written:
        expected = torch.tensor(SMALL["layer_scalars"])[events.projection]
        assert torch.equal(events.extras[:, 0], expected)


@pytest.mark.slow
def test_the_default_network_is_alive():
    env = gymnasium.make_vec(ID, num_envs=12, dataset="digits")
    env.reset(seed=0)
    for _ in range(1):
        while (events := env.events()) is not None:
            env.apply(torch.zeros_like(events.weight))
        result = env.finish()
        for name, spikes in result.spikes.items():
            size = env.engine.network.populations[name].size
            rate = spikes.float() / (size * env.config.num_steps)
            assert 0.005 < rate.mean() < 0.6, name
        assert (result.spikes["output"] > 0).float().mean() > 0.9


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"layer_scalars": (0.2, 1.0)}, ["layer_scalars", "5 layers", "got 2"]),
        ({"penalty": -0.1}, ["penalty", "greater than or equal to 0", "-0.1"]),
        ({"surrogate": "rectangle"}, ["surrogate", "rectangular", "'rectangle'"]),
        ({"hidden_sizes": ()}, ["hidden_sizes", "at least one"]),
        ({"history_length": 17}, ["history_length=17", "num_steps=16"]),
        ({"v_th": -1.0}, ["v_th", "v_reset"]),
    ],
)
def test_bad_settings_are_refused_in_one_line(settings, words):
    with pytest.raises(ValueError) as caught:
        environment_config(ID, **settings)
    assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value)
