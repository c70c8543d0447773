"""Tables of factories: settings are checked by the factory's own signature, mistakes are one line."""

from types import SimpleNamespace
from typing import Any

import pytest

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.utils.factories import build, check_product, register, settings_of


def make_bell(space: str, *, width: float, height: float = 2.0) -> tuple[str, float, float]:
    if width < 0:
        raise ValueError("width must\nnot be negative")
    return space, width, height


def take_all(space: str, **settings: Any) -> dict[str, Any]:
    return settings


TABLE = {"bell": make_bell, "all": take_all}


def test_a_factory_is_called_with_what_is_given():
    assert build(TABLE, "shape", "bell", "here", width=1.0) == ("here", 1.0, 2.0)
    assert build(TABLE, "shape", "all", "here", anything=3) == {"anything": 3}
    assert settings_of(TABLE, "shape", "bell") == ("width", "height")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("bel", {}, "unknown shape 'bel'; did you mean 'bell'?"),
        ("bell", {"widht": 1.0}, "shape bell: unknown setting 'widht'; did you mean 'width'?"),
        ("bell", {}, "shape bell needs width; its settings are width, height"),
        ("bell", {"width": -1.0}, "shape bell: width must not be negative"),
    ],
)
def test_mistakes_are_one_line(name, settings, message):
    with pytest.raises(ConfigError) as caught:
        build(TABLE, "shape", name, "here", **settings)
    assert str(caught.value) == message


def test_an_error_of_the_factorys_own_is_shown_as_it_is():
    def broken(space: str) -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        build({"broken": broken}, "shape", "broken", "here")


def test_registering():
    table = dict(TABLE)
    register(table, "shape", "box", make_bell)
    register(table, "shape", "box", make_bell)  # a module imported twice
    assert build(table, "shape", "box", "there", width=0.5) == ("there", 0.5, 2.0)


@pytest.mark.parametrize(
    ("name", "factory", "message"),
    [
        ("bell", take_all, "shape 'bell' exists already; choose another name"),
        ("", make_bell, "shape: the name must be a text, got ''"),
        (3, make_bell, "shape: the name must be a text, got 3"),
        ("new", 3, "shape 'new' must be a function or a class, got int"),
    ],
)
def test_what_cannot_be_registered(name, factory, message):
    table = dict(TABLE)
    with pytest.raises(ConfigError) as caught:
        register(table, "shape", name, factory)
    assert str(caught.value) == message
    assert table == TABLE


def test_products_have_a_size_and_methods():
    check_product(SimpleNamespace(size=3, spikes=len), "encoder", "mine", ("spikes",))
    with pytest.raises(ConfigError, match="encoder mine: its `size` must be a positive number of neurons, got None"):
        check_product(object(), "encoder", "mine", ())
    with pytest.raises(ConfigError, match="encoder mine: SimpleNamespace has no method `spikes`"):
        check_product(SimpleNamespace(size=3), "encoder", "mine", ("spikes",))
