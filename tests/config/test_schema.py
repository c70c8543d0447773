"""Configuration classes: what they accept, and what they say about what they refuse."""

import copy
import dataclasses
import pickle
import subprocess
import sys
from typing import Optional

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from snn_plasticity_gym.config.schema import (
    ConfigError,
    build_configs,
    config_class,
    read_yaml,
    setting,
    setting_fields,
    to_dict,
)


@config_class
class Simulation:
    """A small configuration."""

    num_steps: int = setting(100, "Time steps an image is shown (T).", unit="steps", section="Simulation", ge=1)
    window: int = setting(100, "Steps of history a synapse sees (K).", unit="steps", section="Simulation", ge=1)
    rate: float = setting(0.5, "Largest input rate.", gt=0, le=1)
    seed: Optional[int] = setting(None, "Seed; none draws one.", ge=0)  # noqa: UP045 (both spellings are to work)
    limit: float | None = setting(None, "Upper limit.")
    adaptive: bool = setting(False, "Whether thresholds adapt.")
    name: str = setting("run", "Name of the run.")
    reward: str = setting("sum", "How the terms are joined.", choices=["sum", "product", "information"])
    surrogate: str | None = setting(None, "Surrogate, if any.", choices=["h1", "h2"])
    weights: tuple[float, ...] = setting((1.0, 1.0), "Weights of the terms.", ge=0)
    layers: tuple[int, int] = setting((128, 10), "Sizes of the layers.", ge=1)

    def check(self) -> None:
        if self.window > self.num_steps:
            raise ValueError(f"window ({self.window}) must not exceed num_steps ({self.num_steps})")


@config_class
class Graded(Simulation):
    num_steps: int = 16
    window: int = 16
    scale: float = setting(1, "Scale of the reward.", gt=0)

    def check(self) -> None:
        super().check()
        if self.scale > 5 and self.adaptive:
            raise ValueError("scale above 5 needs\nadaptive=False")


def error_of(config_type: type, /, **values: object) -> str:
    with pytest.raises(ConfigError) as caught:
        config_type(**values)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


BAD_VALUES = [
    ({"num_steps": 0}, "num_steps must be greater than or equal to 1, got 0"),
    ({"num_steps": np.int64(-3)}, "num_steps must be greater than or equal to 1, got -3"),
    ({"num_steps": 3.7}, "num_steps must be a valid integer, greater than or equal to 1, got 3.7"),
    ({"num_steps": 3.0}, "num_steps must be a valid integer, greater than or equal to 1, got 3.0"),
    ({"num_steps": "100"}, "num_steps must be a valid integer, greater than or equal to 1, got '100'"),
    ({"num_steps": True}, "num_steps must be a valid integer, greater than or equal to 1, got True"),
    ({"num_steps": np.bool_(True)}, "num_steps must be a valid integer, greater than or equal to 1, got True"),
    ({"num_steps": None}, "num_steps must be a valid integer, greater than or equal to 1, got None"),
    ({"rate": 0}, "rate must be greater than 0 and less than or equal to 1, got 0"),
    ({"rate": np.float32(1.5)}, "rate must be greater than 0 and less than or equal to 1, got 1.5"),
    ({"rate": float("nan")}, "rate must be a finite number, greater than 0 and less than or equal to 1, got nan"),
    ({"limit": float("-inf")}, "limit must be a finite number or None, got -inf"),
    ({"rate": False}, "rate must be a valid number, greater than 0 and less than or equal to 1, got False"),
    ({"rate": 10**400}, "rate must be a valid number"),
    ({"rate": [0.5]}, "got (0.5,)"),
    ({"seed": -1}, "seed must be greater than or equal to 0 or None, got -1"),
    ({"adaptive": 1}, "adaptive must be a valid boolean, got 1"),
    ({"adaptive": "yes"}, "adaptive must be a valid boolean, got 'yes'"),
    ({"name": 3}, "name must be a valid string, got 3"),
    ({"reward": "Produkt"}, "one of sum, product, information, got 'Produkt'; did you mean 'product'?"),
    ({"reward": "xyz"}, "reward must be one of sum, product, information, got 'xyz'"),
    ({"surrogate": "h9"}, "surrogate must be one of h1, h2, got 'h9'"),
    ({"weights": (1.0, -2.0)}, "weights[1] must be greater than or equal to 0, got -2.0"),
    ({"weights": (1.0, float("nan"))}, "weights[1] must be a finite number, got nan"),
    ({"weights": (True,)}, "weights[0] must be a valid number, got True"),
    ({"weights": 1.0}, "weights must be a list of numbers, greater than or equal to 0, got 1.0"),
    ({"layers": (1, 2, 3)}, "layers must be"),
    ({"layers": (0, 2)}, "layers[0] must be greater than or equal to 1, got 0"),
    ({"num_step": 3}, "unknown argument 'num_step'; did you mean 'num_steps'?"),
    ({"qqqq": 3}, "unknown argument 'qqqq'; valid names: num_steps, window, rate, seed"),
    ({"num_steps": 50}, "window (100) must not exceed num_steps (50)"),
]


@pytest.mark.parametrize(("values", "message"), BAD_VALUES, ids=[str(values) for values, _ in BAD_VALUES])
def test_bad_values_are_refused_in_one_line(values, message):
    assert message in error_of(Simulation, **values)


def test_all_bad_arguments_are_named_at_once():
    message = error_of(Simulation, num_steps=0, rate=2.0, reward="x", num_step=1)
    assert message.count("; ") >= 3
    for part in ("unknown argument 'num_step'", "num_steps must be", "rate must be", "reward must be"):
        assert part in message


def test_long_and_many_line_values_stay_on_one_short_line():
    assert len(error_of(Simulation, num_steps=np.zeros((30, 30)))) < 300
    assert len(error_of(Simulation, num_steps="x\n" * 1000)) < 300


def test_config_error_is_a_value_error():
    assert issubclass(ConfigError, ValueError)


@given(st.integers(min_value=1))
def test_integers_in_range_are_accepted(value):
    assert Simulation(num_steps=value, window=1).num_steps == value


@given(st.integers(max_value=0, min_value=-(10**30)))
def test_integers_out_of_range_are_refused(value):
    message = error_of(Simulation, num_steps=value)
    assert message == f"num_steps must be greater than or equal to 1, got {value}"


@given(st.floats(min_value=0, max_value=1, exclude_min=True))
def test_floats_in_range_are_accepted(value):
    assert Simulation(rate=value).rate == value
    assert Simulation(rate=np.float64(value)).rate == value


@given(st.floats(max_value=0) | st.floats(min_value=1, exclude_min=True) | st.just(float("nan")))
def test_floats_out_of_range_are_refused(value):
    message = error_of(Simulation, rate=value)
    assert message.startswith("rate must be")
    assert message.endswith(f"greater than 0 and less than or equal to 1, got {value!r}")


@given(st.text())
def test_any_unknown_choice_is_answered_in_one_line(text):
    if text not in ("sum", "product", "information"):
        assert "one of sum, product, information" in error_of(Simulation, reward=text)


def test_numpy_scalars_and_lists_become_python_values():
    config = Simulation(
        num_steps=np.int64(200),
        rate=np.float32(0.25),
        adaptive=np.bool_(True),
        seed=np.uint8(3),
        limit=np.float64(2.0),
        name=np.str_("a"),
        weights=np.array([0.5, 2.0]),
        layers=[np.int32(3), 4],
    )
    values = {info.name: getattr(config, info.name) for info in setting_fields(Simulation)}
    assert values["num_steps"] == 200
    assert values["weights"] == (0.5, 2.0)
    assert values["layers"] == (3, 4)
    types = {name: type(value) for name, value in values.items() if name in ("num_steps", "rate", "adaptive", "name")}
    assert types == {"num_steps": int, "rate": float, "adaptive": bool, "name": str}


def test_an_integer_is_a_float():
    assert type(Simulation(rate=1).rate) is float
    assert type(Graded().scale) is float  # its default was written as 1


def test_configurations_are_frozen_hashable_and_compare_by_value():
    config = Simulation()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.num_steps = 3
    assert config == Simulation(num_steps=100)
    assert hash(config) == hash(Simulation())


def test_arguments_are_given_by_name():
    with pytest.raises(TypeError):
        Simulation(100)


def test_replace_checks_again():
    config = dataclasses.replace(Simulation(), num_steps=120)
    assert config.num_steps == 120
    with pytest.raises(ConfigError, match="must not exceed"):
        dataclasses.replace(config, num_steps=5)


def test_inheritance_keeps_order_help_and_bounds():
    names = [info.name for info in setting_fields(Graded)]
    assert names == [*(info.name for info in setting_fields(Simulation)), "scale"]
    config = Graded()
    assert (config.num_steps, config.window, config.rate) == (16, 16, 0.5)
    own, parent = setting_fields(Graded)[0], setting_fields(Simulation)[0]
    assert own == dataclasses.replace(parent, default=16)
    assert error_of(Graded, num_steps=0) == "num_steps must be greater than or equal to 1, got 0"
    assert Simulation().num_steps == 100


def test_checks_are_inherited():
    assert "window (20) must not exceed num_steps (16)" in error_of(Graded, window=20)
    assert error_of(Graded, scale=6, adaptive=True) == "scale above 5 needs adaptive=False"


def test_checks_run_only_on_good_values():
    assert error_of(Simulation, num_steps=0, window=3) == "num_steps must be greater than or equal to 1, got 0"


def test_setting_fields_tell_all():
    info = setting_fields(Simulation)[0]
    assert (info.name, info.type, info.default) == ("num_steps", int, 100)
    assert (info.help, info.unit, info.section) == ("Time steps an image is shown (T).", "steps", "Simulation")
    assert info.bounds == (("ge", 1),)
    by_name = {info.name: info for info in setting_fields(Simulation)}
    assert by_name["reward"].choices == ("sum", "product", "information")
    assert by_name["seed"].optional and by_name["seed"].kind is int
    assert by_name["limit"].optional and by_name["limit"].kind is float
    assert not by_name["rate"].optional and by_name["rate"].range == "greater than 0 and less than or equal to 1"


@pytest.mark.parametrize("config", [Simulation(), Graded(scale=2.5, weights=(0.0, 3.0), seed=4)])
def test_pickle_and_copy(config):
    assert pickle.loads(pickle.dumps(config)) == config
    assert copy.deepcopy(config) == config


def test_the_class_can_be_pickled_by_value():
    # Stable-Baselines3 does so, by cloudpickle, with what a script defines.
    cloudpickle = pytest.importorskip("cloudpickle")

    namespace = {"config_class": config_class, "setting": setting, "__name__": "__main__"}
    exec("@config_class\nclass Local:\n    x: int = setting(1, 'A number.', ge=1)\n", namespace)
    local = namespace["Local"]
    assert cloudpickle.loads(cloudpickle.dumps(local(x=3))).x == 3


def test_yaml_round_trip(tmp_path):
    config = Graded(name="1e-3", weights=(0.5,), limit=2, seed=7)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(to_dict(config)))
    assert build_configs(read_yaml(path), Graded) == (config,)
    path.write_text("")
    assert read_yaml(path) == {}


@pytest.mark.parametrize("content", ["- 1\n", "text", "a: [1\n", "1: 2\n"])
def test_yaml_that_is_no_mapping_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "config.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_yaml_names_the_path(tmp_path):
    with pytest.raises(ConfigError, match=r"missing\.yaml"):
        read_yaml(tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("num_steps", "200", 200),
        ("num_steps", "200.0", 200),
        ("num_steps", "20_000", 20_000),
        ("rate", "1e-3", 0.001),
        ("adaptive", "True", True),
        ("adaptive", "false", False),
        ("seed", "", None),
        ("seed", "None", None),
        ("seed", "3", 3),
        ("name", "", ""),
        ("name", "100", "100"),
        ("surrogate", "", None),
        ("weights", "0.5, 2", (0.5, 2.0)),
        ("weights", "[0.5, 2]", (0.5, 2.0)),
        ("weights", "", ()),
        ("weights", ["1e-3", 2], (0.001, 2.0)),
        ("layers", "(3,4)", (3, 4)),
    ],
)
def test_text_is_read_as_the_type_of_the_setting(name, text, value):
    (config,) = build_configs({name: text}, Simulation)
    result = getattr(config, name)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_steps": "0"}, "num_steps must be greater than or equal to 1, got 0"),
        ({"num_steps": "3.7"}, "num_steps must be a valid integer, greater than or equal to 1, got '3.7'"),
        ({"num_steps": "many"}, "got 'many'"),
        ({"rate": "nan"}, "rate must be a finite number"),
        ({"adaptive": "maybe"}, "adaptive must be a valid boolean, got 'maybe'"),
        ({"weights": "1,x"}, "weights must be a list of numbers, greater than or equal to 0, got '1,x'"),
        ({"num_step": "1"}, "unknown argument 'num_step'; did you mean 'num_steps'?"),
    ],
)
def test_bad_text_is_refused(values, message):
    with pytest.raises(ConfigError) as caught:
        build_configs(values, Simulation)
    assert message in str(caught.value)


def test_one_mapping_builds_several_configurations():
    @config_class
    class Trainer:
        images: int = setting(10, "Number of images.", ge=1)

    trainer, simulation = build_configs({"images": "5", "num_steps": 200}, Trainer, Simulation)
    assert (trainer.images, simulation.num_steps) == (5, 200)
    with pytest.raises(ConfigError, match=r"^images must be .* 0; num_steps must be .* got 0$"):
        build_configs({"images": "0", "num_steps": 0}, Trainer, Simulation)


def test_mistakes_in_a_declaration_are_found_at_once():
    with pytest.raises(AssertionError, match="default of x must be greater"):

        @config_class
        class BadDefault:
            x: int = setting(0, "A number.", ge=1)

    with pytest.raises(AssertionError, match=r"BadField.x: declare it with setting"):

        @config_class
        class BadField:
            x: int = 3

    with pytest.raises(AssertionError, match="needs its annotation"):

        @config_class
        class BadOverride(Simulation):
            num_steps = 3

    with pytest.raises(AssertionError, match="choices are for str"):

        @config_class
        class BadChoices:
            x: int = setting(1, "A number.", choices=["1"])


def test_import_needs_no_torch():
    code = "import sys, snn_plasticity_gym.config.schema; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
