"""Formulas as source: what it says, and what it computes; the rules of policies are compared in test_learned_rule."""

from snn_plasticity_gym.rules.distilled import Term
from snn_plasticity_gym.rules.python_source import python_source

TERMS = [Term(0.25, ()), Term(-2.0, ("post", "x2.5")), Term(0.0, ("w",)), Term(1e-30, ("xn", "xn", "layer"))]


def test_the_source_names_factors_and_what_they_are():
    source = python_source({"all": TERMS}, dt=0.5, bounded=False)
    assert "def delta_d(post, w, x2_5, xn, layer):" in source and "import math" not in source
    assert "    return (0.25) + (-2.0) * post * x2_5 + (1e-30) * xn * xn * layer\n" in source
    assert "x2_5: Sum of exp(-age / 2.5 ms) over earlier spikes of the pre neuron, in time steps of 0.5 ms." in source
    assert "xn: Number of earlier spikes of the pre neuron" in source and "layer: Scalar of the environment." in source


def test_each_formula_has_a_function_and_nothing_is_zero():
    source = python_source({"exc": [Term(1.0, ("y5",))], "in-h": [Term(0.0, ())]}, dt=1.0, bounded=True)
    assert "def delta_d_exc(y5):" in source and "return math.tanh((1.0) * y5)" in source
    assert "def delta_d_in_h(y5):" in source and "return math.tanh(0.0)" in source
    compile(source, "formula.py", "exec")
