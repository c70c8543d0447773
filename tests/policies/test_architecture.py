"""The shape of a rule: what comes back from a description, and what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.formula import default_terms

SIZES = st.lists(st.integers(1, 64), min_size=1, max_size=4).map(tuple)
SHAPES = st.builds(
    Architecture,
    num_groups=st.integers(1, 64),
    use_kind=st.booleans(),
    extra_keys=st.lists(st.sampled_from(("factor", "layer")), unique=True).map(tuple),
    hidden_sizes=SIZES,
    channels=st.tuples(st.integers(1, 32), st.integers(1, 32)),
    kernel_sizes=st.sampled_from([(1, 1), (3, 5), (5, 5)]),
    sigma=st.floats(1e-6, 10),
    dt=st.floats(0.01, 10),
)
FORMULAS = st.builds(
    Architecture, formula_terms=st.sampled_from([(), ("post", "w"), ("x20 * w",)]), extra_keys=st.just(("factor",))
)


@given(SHAPES | FORMULAS | st.builds(Architecture, head=st.just("mine")))
def test_a_shape_comes_back_from_its_description(shape):
    assert Architecture.from_dict(json.loads(json.dumps(shape.as_dict()))) == shape


def test_older_descriptions_and_newer_ones():
    fields = Architecture().as_dict()
    assert "head" not in fields and Architecture(head="mine").as_dict()["head"] == "mine"
    for name in ("formula_terms", "dt"):
        del fields[name]
    assert Architecture.from_dict(fields) == Architecture()


def test_terms_are_written_out_and_names_are_those_of_the_columns():
    assert Architecture(formula_terms=()).formula_terms == tuple(default_terms(()))
    assert Architecture(formula_terms=("x20 * w",)).formula_terms == ("x20*w",)
    assert Architecture(use_kind=True, extra_keys=("factor",)).scalar_names == (
        "weight", "pre", "post", "both", "factor",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": [3]}, "unknown field 'hidden_size'; did you mean 'hidden_sizes'?"),
        ({"num_groups": 0}, "num_groups must be"),
        ({"channels": [1, 2, 3]}, "channels must have 2 entries"),
        ({"extra_keys": ["my colour"]}, "extra_keys must be names of local scalars"),
    ],
)
def test_what_is_no_description_is_refused(change, message):
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        Architecture.from_dict(Architecture().as_dict() | change)
    with pytest.raises(ConfigError, match="sigma is missing"):
        Architecture.from_dict({name: v for name, v in Architecture().as_dict().items() if name != "sigma"})
    with pytest.raises(ConfigError, match="got list"):
        Architecture.from_dict([])
