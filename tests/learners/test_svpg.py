"""Rules of winner-take-all networks against the exact gradient of the expected reward, and what they learn."""

import itertools

import pytest
import torch

from snn_plasticity_gym.config.svpg import SVPGConfig
from snn_plasticity_gym.learners.backprop_agents import LIFAgent
from snn_plasticity_gym.learners.svpg import clipped_factor, confidence, contrast, entropy_change, paper, windows
from snn_plasticity_gym.learners.svpg_agents import MeanFieldAgent, SpikeAgent
from snn_plasticity_gym.networks.rwta import (
    GroupLayout,
    RWTAWeights,
    initial_weights,
    input_drive,
    settle,
)
from snn_plasticity_gym.networks.rwta_spikes import run_window, silent_traces

LAYOUT = GroupLayout(num_inputs=6, hidden_groups=4, group_size=3, num_actions=3)
HIDDEN = LAYOUT.num_hidden
SWEEPS = 30


def a_task(num=200):
    """Inputs, and the reward of every action, (B, A)."""
    generator = torch.Generator().manual_seed(5)
    inputs = torch.rand(num, LAYOUT.num_inputs, generator=generator).double()
    rewards = torch.rand(num, LAYOUT.num_actions, generator=generator).double()
    return inputs, rewards


def weights_of(seed=0, scale=0.3) -> RWTAWeights:
    fresh = initial_weights(LAYOUT, torch.Generator().manual_seed(seed), input_scale=scale, lateral_scale=scale)
    return RWTAWeights(*(part.double() for part in fresh))


def exact(weights: RWTAWeights, inputs, rewards) -> RWTAWeights:
    """Gradient of the mean expected reward, through all sweeps of the mean field, by autograd."""
    own = RWTAWeights(*(part.clone().requires_grad_() for part in weights))
    policy = settle(own, LAYOUT, input_drive(own, inputs), SWEEPS)[:, HIDDEN:]
    (policy * rewards).sum(dim=1).mean().backward()
    lateral = own.lateral.grad
    return RWTAWeights(own.inputs.grad, (lateral + lateral.T) * LAYOUT.lateral_mask(), own.bias.grad)


def expected_contrast(weights: RWTAWeights, inputs, rewards, baseline=1.0) -> RWTAWeights:
    """The mean of `contrast` over actions, each as often as the policy takes it; rewards are less what is expected."""
    drive = input_drive(weights, inputs)
    free = settle(weights, LAYOUT, drive, SWEEPS)
    expected = (free[:, HIDDEN:] * rewards).sum(dim=1)  # (B,)
    total = [torch.zeros_like(part) for part in weights]
    for a in range(LAYOUT.num_actions):
        action = torch.full((len(inputs),), a)
        held = settle(weights, LAYOUT, drive, SWEEPS, start=free, action=action)
        change = contrast(inputs, free, held, free[:, HIDDEN + a] * (rewards[:, a] - baseline * expected))
        total = [one + other for one, other in zip(total, change, strict=True)]
    return RWTAWeights(total[0], total[1] * LAYOUT.lateral_mask(), total[2])


def expected_paper(weights: RWTAWeights, inputs, rewards) -> RWTAWeights:
    """The mean of `paper`, by summing over all states of all groups, each as often as it is drawn."""
    free = settle(weights, LAYOUT, input_drive(weights, inputs), SWEEPS)
    sizes = [LAYOUT.group_size] * LAYOUT.hidden_groups + [LAYOUT.num_actions]
    total = [torch.zeros_like(part) for part in weights]
    for chosen in itertools.product(*map(range, sizes)):
        active = torch.tensor([sum(sizes[:group]) + place for group, place in enumerate(chosen)])
        state = torch.zeros_like(free)
        state[:, active] = 1.0
        change = paper(inputs, free, state, free[:, active].prod(dim=1) * rewards[:, chosen[-1]])
        total = [one + other for one, other in zip(total, change, strict=True)]
    return RWTAWeights(total[0], total[1] * LAYOUT.lateral_mask(), total[2])


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0))


def test_contrast_is_the_gradient_and_the_published_rule_tells_hidden_neurons_nothing():
    inputs, rewards = a_task()
    weights = weights_of()
    wanted = exact(weights, inputs, rewards)
    ours, theirs = expected_contrast(weights, inputs, rewards), expected_paper(weights, inputs, rewards)
    hidden, action = (slice(None), slice(0, HIDDEN)), (slice(None), slice(HIDDEN, None))
    assert cosine(ours.inputs[hidden], wanted.inputs[hidden]) > 0.95
    assert cosine(ours.inputs[action], wanted.inputs[action]) > 0.98
    assert cosine(ours.lateral, wanted.lateral) > 0.95
    assert cosine(theirs.inputs[action], wanted.inputs[action]) > 0.95
    assert wanted.inputs[hidden].norm() > 1e-4
    assert theirs.inputs[hidden].norm() < 1e-9 * wanted.inputs[hidden].norm()


def enumerated_reward(weights: RWTAWeights, layout: GroupLayout, inputs, rewards) -> torch.Tensor:
    """Mean expected reward of the network's true policy: the Boltzmann distribution, summed over all states."""
    sizes = [layout.group_size] * layout.hidden_groups + [layout.num_actions]
    chosen = list(itertools.product(*map(range, sizes)))
    states = torch.zeros(len(chosen), layout.num_neurons).double()  # (states, N)
    for row, places in enumerate(chosen):
        for group, place in enumerate(places):
            states[row, sum(sizes[:group]) + place] = 1.0
    logs = 0.5 * torch.einsum("sn,nm,sm->s", states, weights.lateral, states) + input_drive(weights, inputs) @ states.T
    policy = torch.softmax(logs, dim=1) @ states[:, layout.num_hidden :]  # (B, A)
    return (policy * rewards).sum(dim=1).mean()


def test_contrast_follows_finite_differences_of_the_enumerated_policy():
    """No mean field in what it is compared with; of the published rule the hidden part has nothing of it."""
    layout = GroupLayout(num_inputs=3, hidden_groups=2, group_size=3, num_actions=2)
    generator = torch.Generator().manual_seed(4)
    inputs, rewards = torch.rand(40, 3, generator=generator).double(), torch.rand(40, 2, generator=generator).double()
    fresh = initial_weights(layout, generator, input_scale=0.3, lateral_scale=0.3)
    weights = RWTAWeights(*(part.double() for part in fresh))
    slopes = RWTAWeights(*(torch.zeros_like(part) for part in weights))
    step, mask = 1e-4, layout.lateral_mask()
    for name, part in weights._asdict().items():
        for place in itertools.product(*map(range, part.shape)):
            both = {place, place[::-1]} if name == "lateral" else {place}  # two ends of one weight
            worth = []
            for sign in (1, -1):
                moved = part.clone()
                for end in both:
                    moved[end] += sign * step
                worth.append(enumerated_reward(weights._replace(**{name: moved}), layout, inputs, rewards))
            getattr(slopes, name)[place] = (worth[0] - worth[1]) / (2 * step)
    drive = input_drive(weights, inputs)
    free = settle(weights, layout, drive, SWEEPS)
    policy = free[:, layout.num_hidden :]
    total = [torch.zeros_like(part) for part in weights]
    for a in range(layout.num_actions):
        held = settle(weights, layout, drive, SWEEPS, start=free, action=torch.full((len(inputs),), a))
        factor = policy[:, a] * (rewards[:, a] - (policy * rewards).sum(dim=1))
        total = [one + other for one, other in zip(total, contrast(inputs, free, held, factor), strict=True)]
    hidden = slice(0, layout.num_hidden)
    assert cosine(total[0][:, hidden], slopes.inputs[:, hidden]) > 0.95
    assert cosine(total[0], slopes.inputs) > 0.99
    assert cosine(total[1] * mask, slopes.lateral * mask) > 0.95
    assert cosine(total[2], slopes.bias) > 0.99


def test_two_windows_of_equal_rates_are_the_contrast():
    """Of windows without chance both forms of the rule are one."""
    inputs, rewards = a_task()
    free, held = torch.rand(2, len(inputs), LAYOUT.num_neurons).double()
    expected = contrast(inputs, free, held, rewards[:, 0])
    for one, other in zip(windows(inputs, (free + held) / 2, free, held, rewards[:, 0]), expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("post", "steps", "least"), [("chances", 60, 0.97), ("rates", 600, 0.95)])
def test_windows_of_spikes_follow_the_gradient(post, steps, least):
    """Means of windows, summed over all actions; by potentials short ones are enough."""
    inputs, rewards = (part.float().repeat(3, 1) for part in a_task())
    wanted = exact(weights_of(), *a_task())
    weights = RWTAWeights(*(part.float() for part in weights_of()))
    noise = torch.Generator().manual_seed(0)

    def window(traces, action=None):
        return run_window(weights, LAYOUT, inputs, traces, noise, steps=steps, tau=2.0, skip=10, action=action)

    free = window(silent_traces(inputs, LAYOUT))
    policy = free.rates[:, HIDDEN:]
    total = [torch.zeros_like(part) for part in weights]
    for a in range(LAYOUT.num_actions):
        held = window(free.traces, torch.full((len(inputs),), a))
        factor = policy[:, a] * (rewards[:, a] - (policy * rewards).sum(dim=1))
        means = [(one + other) / 2 for one, other in ((free.inputs, held.inputs), (free.rates, held.rates))]
        change = windows(*means, getattr(free, post), getattr(held, post), factor)
        total = [one + other for one, other in zip(total, change, strict=True)]
    assert cosine(total[0][:, :HIDDEN].double(), wanted.inputs[:, :HIDDEN]) > least
    assert cosine(total[0][:, HIDDEN:].double(), wanted.inputs[:, HIDDEN:]) > 0.98
    assert cosine((total[1] * LAYOUT.lateral_mask()).double(), wanted.lateral) > 0.9


def test_a_constant_baseline_changes_nothing_in_the_mean():
    """The mean of what an action-independent factor asks for is zero, in first order of the lateral weights."""
    inputs, _ = a_task()
    weights = weights_of(scale=0.05)
    change = expected_contrast(weights, inputs, torch.ones(len(inputs), 3).double(), baseline=0.0)
    other = expected_contrast(weights, inputs, a_task()[1])
    assert change.inputs.abs().max() < 0.05 * other.inputs.abs().max()


def test_the_entropy_rises():
    inputs, _ = a_task()
    weights = weights_of(scale=1.0)

    def entropy(own):
        policy = settle(own, LAYOUT, input_drive(own, inputs), SWEEPS)[:, HIDDEN:]
        return -(policy * policy.log()).sum(dim=1).mean()

    free = settle(weights, LAYOUT, input_drive(weights, inputs), SWEEPS)
    change = entropy_change(inputs, free, LAYOUT, 1.0)
    moved = RWTAWeights(*(w + 0.1 * c for w, c in zip(weights, change, strict=True)))
    assert entropy(moved) > entropy(weights)


def test_the_clip_cuts_off_only_what_goes_too_far():
    policy = torch.tensor([[0.9, 0.1]] * 4)
    action, old = torch.tensor([0, 0, 1, 1]), torch.tensor([0.5, 0.8, 0.5, 0.09])
    advantage = torch.tensor([1.0, 1.0, -1.0, -1.0])
    factor = clipped_factor(policy, action, old, advantage, 0.2)
    torch.testing.assert_close(factor, torch.tensor([0.0, 1.125, 0.0, -0.1 / 0.09]))


def test_confidence_is_the_reward_of_a_calibrated_policy():
    policy = torch.softmax(torch.randn(5, 4), dim=1)
    torch.testing.assert_close(confidence(policy), (policy * policy).sum(dim=1))


@pytest.mark.parametrize("spikes", [False, True])
@pytest.mark.parametrize("sign", [1, -1], ids=["paid", "punished"])
def test_a_bit_is_copied_through_hidden_neurons_from_reward_alone(spikes, sign):
    """Inputs reach the action by way of hidden neurons only. With the sign flipped the opposite is learned."""
    layout = GroupLayout(2, 6, 4, 2, input_to_action=False)
    config = SVPGConfig(spikes=spikes, input_scale=1.0, lateral_scale=0.5, window=60, held_window=40)
    noise = torch.Generator().manual_seed(1)
    agent = MeanFieldAgent(config, layout, torch.Generator().manual_seed(2), noise, torch.device("cpu"))
    acting = SpikeAgent(agent, config, noise) if spikes else agent
    optimiser = torch.optim.Adam(list(agent.weights.values()), 0.05, maximize=True)
    cases = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).repeat(25, 1)
    labels = cases[:, 1].long()
    for _ in range(80):
        look = acting.look(cases)
        action = torch.multinomial(look.policy.clamp_min(1e-9), 1, generator=noise)[:, 0]
        acting.learn(cases, look, action, sign * ((action == labels).float() - 0.5), 0.0)
        optimiser.step()
    right = float((agent.judge(cases).argmax(dim=1) == labels).float().mean())
    assert right == (1.0 if sign > 0 else 0.0)


def test_judging_spiking_neurons_draws_nothing_from_training():
    """A run that is judged more often learns the same, and what an input is worth does not depend on its neighbours."""
    layout = GroupLayout(20, 0, 2, 3)
    noise = torch.Generator().manual_seed(1)
    device = torch.device("cpu")
    agent = LIFAgent(layout, SVPGConfig(hidden_size=30), torch.Generator().manual_seed(2), noise, device)
    before = noise.get_state()
    inputs = torch.rand(8, 20, generator=torch.Generator().manual_seed(3))
    policy = agent.judge(inputs)
    assert torch.equal(noise.get_state(), before) and len(policy.unique(dim=0)) > 1
    torch.testing.assert_close(agent.judge(inputs[3:5]), policy[3:5])
    agent.look(inputs)
    assert not torch.equal(noise.get_state(), before)
