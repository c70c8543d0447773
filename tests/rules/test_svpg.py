"""The score of a policy gradient: by hand, as a gradient, and by what it teaches a network that is paid."""

import pytest
import torch
from toys_worlds import BANDIT

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.plasticity.events import KIND_BOTH, KIND_POST, KIND_PRE
from snn_plasticity_gym.rules import make_rule


@pytest.fixture
def three_kinds(make_events):
    events = make_events([[1, 1], [1, 0], [0, 1]], [[1, 0], [0, 1], [1, 1]], torch.tensor([0.5, -0.5, 0.1]))._replace(
        extras=torch.tensor([[0.4], [-0.3], [-0.2]]), extra_names=("potential",)
    )
    assert events.kind.tolist() == [KIND_PRE, KIND_POST, KIND_BOTH]
    return events


def test_it_answers_pre_spikes_by_what_post_did_less_what_was_expected(three_kinds):
    below, above = 1 / (1 + 2.718281828**2.0), 1 / (1 + 2.718281828**-1.0)
    rule = make_rule("svpg", width=0.2, gain=2.0)
    assert rule(three_kinds).tolist() == pytest.approx([-2 * below, 0.0, 2 * (1 - above)], rel=1e-5)
    assert torch.equal(rule(three_kinds._replace(weight=-three_kinds.weight)), rule(three_kinds))
    with pytest.raises(ConfigError, match="needs the local scalar potential"):
        rule(three_kinds._replace(extras=three_kinds.extras[:, :0], extra_names=()))


def test_it_is_the_gradient_of_the_log_probability_of_what_a_neuron_does(three_kinds):
    """A pre spike at weight w moves the potential by w, so that u falls by w: d log P(s) / dw by autograd."""
    lack = three_kinds.extras[:, 0]
    weight = torch.zeros(3, requires_grad=True)
    chance = torch.sigmoid((weight - lack) / 0.2)
    fires = three_kinds.kind != KIND_PRE
    torch.where(fires, chance, 1 - chance).log().sum().backward()
    pre = three_kinds.kind != KIND_POST
    torch.testing.assert_close(0.2 * weight.grad[pre], make_rule("svpg", width=0.2)(three_kinds)[pre])


@pytest.mark.parametrize("kind", [KIND_PRE, KIND_BOTH])
def test_what_post_did_is_seen_where_pre_events_come_by_themselves(three_kinds, kind):
    """With event_kinds pre or split an event of a pre spike is never of both kinds."""
    pre_only = three_kinds._replace(kind=torch.where(three_kinds.kind == KIND_BOTH, kind, three_kinds.kind))
    assert torch.equal(make_rule("svpg")(pre_only), make_rule("svpg")(three_kinds))


def mean_return(turn: float, sign: int) -> float:
    """Return what 16 networks earn in the last 20 of 150 episodes of learning from what they are paid."""
    env = PlasticityVectorEnv(
        "SNNPlastic-Control-v0", 16, world=BANDIT, world_kwargs={"sign": sign}, max_actions=1, steps_per_action=4,
        history_length=4, hidden_sizes=(), encoder="rate", encoder_kwargs={}, decoder_kwargs={"group_size": 2},
        modulation="reward", local_state=("potential",), tau_eligibility=20.0, noise=0.5, eta=0.1,
        w_init_min=0.2, w_init_max=0.9, w_min=-1.0, w_max=2.0,
    )  # fmt: skip
    env.reset(seed=0)
    rule = make_rule("svpg")
    returns = []
    for _ in range(150):
        while (events := env.events()) is not None:
            env.apply(turn * rule(events))
        returns.append(env.finish().reward.mean())
    return float(torch.stack(returns[-20:]).mean())


@pytest.mark.parametrize("sign", [1, -1])
def test_a_bandit_is_learned_from_what_it_pays_and_unlearned_with_the_sign_turned(sign):
    assert mean_return(1.0, sign) > 0.7
    assert mean_return(-1.0, sign) < -0.7
