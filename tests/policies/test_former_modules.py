"""Files of version 0.1 before its modules were moved (made by `saved_before/make.py`) give the same numbers."""

import base64
import json
import sys
import zipfile
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

import snn_plasticity_gym
from snn_plasticity_gym.config.learning import EventOptions
from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.learners.event_buffer import EventRolloutBuffer
from snn_plasticity_gym.policies.former_modules import former_modules
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.policies.saved import load_policy
from snn_plasticity_gym.utils.nonfinite import Guard

SAVED = Path(__file__).with_name("saved_before")
NAMES = ["network", "formula"]


def answers_of(rule, name: str) -> tuple[np.ndarray, np.ndarray]:
    with np.load(SAVED / name / "answers.npz") as saved:
        arrays = {key: saved[key] for key in saved.files}
    expected = arrays.pop("delta_d")
    assert np.abs(expected).max() > 0.1
    return rule.delta_d(**arrays), expected


@pytest.mark.parametrize("name", NAMES)
def test_rule_files_of_before_answer_as_they_did(name):
    rule = snn_plasticity_gym.load_rule(SAVED / name)
    np.testing.assert_allclose(*answers_of(rule, name), rtol=1e-5, atol=1e-6)  # processors sum up in other orders
    assert rule.description.images == 7 and rule.description.groups == ["semi"]


@pytest.mark.parametrize("name", NAMES)
def test_zips_of_before_answer_as_they_did(name):
    rule = snn_plasticity_gym.load_rule(SAVED / name / "final.zip", trust=True)
    np.testing.assert_allclose(*answers_of(rule, name), rtol=1e-5, atol=1e-6)  # processors sum up in other orders
    files = snn_plasticity_gym.load_rule(SAVED / name)
    assert rule.description.architecture == files.description.architecture
    policy = load_policy(SAVED / name)
    assert policy.rule.state_dict().keys() == files.rule.state_dict().keys()


@pytest.mark.parametrize("name", NAMES)
def test_learners_of_before_are_loaded(name):
    model = EventA2C.load(SAVED / name / "final.zip")
    parameters, expected = model.policy.state_dict(), load_policy(SAVED / name).state_dict()
    assert parameters.keys() == expected.keys()
    for key, value in parameters.items():
        np.testing.assert_array_equal(value.numpy(), expected[key].numpy())
    assert model.options == EventOptions()


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_that_is_written_again_is_the_same_file(name, tmp_path):
    policy = load_policy(SAVED / name)
    policy.save_rule(tmp_path, groups=["semi"], images=7)
    for file in ("rule.json", "rule.safetensors"):
        assert (tmp_path / file).read_bytes() == (SAVED / name / file).read_bytes()


@pytest.mark.parametrize(
    ("key", "now"),
    [("policy_class", PlasticityPolicy), ("rollout_buffer_class", EventRolloutBuffer), ("guard", Guard)],
)
def test_classes_of_before_are_found_while_a_file_is_read_and_no_longer(key, now):
    with zipfile.ZipFile(SAVED / "network" / "final.zip") as file:
        pickled = base64.b64decode(json.loads(file.read("data"))[key][":serialized:"])
    modules = set(sys.modules)
    with former_modules():
        found = cloudpickle.loads(pickled)
    assert found is now or type(found) is now
    assert not [name for name in set(sys.modules) - modules if ".agents" in name]
    with pytest.raises(ImportError):
        cloudpickle.loads(pickled)
