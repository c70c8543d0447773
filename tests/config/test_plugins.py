"""Modules of a user's own: imported once, before names are looked up; every mistake is one line with its place."""

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import pytest
import yaml
from quick import small_pngs

from snn_plasticity_gym.config.bptt import BPTTConfig
from snn_plasticity_gym.config.cli import parse_config, parse_configs
from snn_plasticity_gym.config.environments import ENVIRONMENTS, TASKS
from snn_plasticity_gym.config.evaluate import EvaluateConfig
from snn_plasticity_gym.config.plugins import import_plugins, import_plugins_of, plugin_names
from snn_plasticity_gym.config.schema import ConfigError, to_dict
from snn_plasticity_gym.config.training import A2CConfig
from snn_plasticity_gym.trainers.evaluate import evaluate
from snn_plasticity_gym.trainers.report import report
from snn_plasticity_gym.trainers.train_a2c import train

TEXT = """
from snn_plasticity_gym import register_task
from snn_plasticity_gym.config.schema import config_class, setting
from snn_plasticity_gym.config.unsupervised import Unsup1Config


class Thing:
    size = 3


@config_class
class MineConfig(Unsup1Config):
    'A task of mine.'

    mine: int = setting(1, "A setting of mine.", section="Data", ge=1)


register_task("Mine-v0", task="snn_plasticity_gym.tasks.unsupervised:UnsupervisedTask", config=MineConfig)
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A plugin's file, of which nothing is left afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules, environments = set(sys.modules), dict(ENVIRONMENTS)
    path = tmp_path / "my_plugin_module.py"
    path.write_text(TEXT)
    yield path
    forget(modules, environments)


def forget(modules: set[str], environments: dict[str, type]) -> None:
    for name in ("my_plugin_module", "my_plugin_other"):
        if name not in modules:
            sys.modules.pop(name, None)
    gymnasium.registry.pop("Mine-v0", None)
    TASKS.pop("Mine-v0", None)
    ENVIRONMENTS.clear()
    ENVIRONMENTS.update(environments)


@pytest.mark.parametrize(
    ("value", "names"),
    [("a.py,b", ("a.py", "b")), (["a.py", "b"], ("a.py", "b")), ("", ()), (None, ()), (3, ()), (" a , ", ("a",))],
)
def test_names_of_a_setting(value, names):
    assert plugin_names(value) == names


def test_a_file_is_a_module_whose_things_can_be_pickled(plugin):
    import_plugins([str(plugin)])
    module = sys.modules["my_plugin_module"]
    assert module.__file__ == str(plugin) and ENVIRONMENTS["Mine-v0"].__module__ == "my_plugin_module"
    assert pickle.loads(pickle.dumps(module.Thing())).size == 3
    code = "import pickle, sys; from snn_plasticity_gym.config.plugins import import_plugins\n"
    code += f"import_plugins([{str(plugin)!r}]); print(pickle.load(sys.stdin.buffer).size)"
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(module.Thing()), capture_output=True)
    assert done.stdout == b"3\n", done.stderr
    module.Thing.size = 4
    import_plugins([str(plugin)])  # once is enough
    assert sys.modules["my_plugin_module"].Thing.size == 4


def test_a_module_by_its_dotted_name_and_one_beside_a_file(plugin, monkeypatch):
    monkeypatch.chdir(plugin.parent)
    import_plugins(["my_plugin_module"])
    assert "Mine-v0" in ENVIRONMENTS
    import_plugins(["json.tool"])
    other = plugin.with_name("my_plugin_other.py")
    other.write_text("import my_plugin_module\n")
    import_plugins([str(other)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n\ny = x / 0\n", "ZeroDivisionError: division by zero ({}, line 3)"),
        ("def f(:\n", "SyntaxError: invalid syntax ({}, line 1)"),
        ("import no_such_module_x\n", "ModuleNotFoundError: No module named 'no_such_module_x' ({}, line 1)"),
        ("raise ValueError('two\\nlines')\n", "ValueError: two lines ({}, line 1)"),
        ("\nraise RuntimeError\n", "RuntimeError ({}, line 2)"),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3 ({}, line 2)"),
        (  # the mistake is in the user's line, not where our code notices it
            "from snn_plasticity_gym.config.environments import environment_config\nenvironment_config('x')\n",
            "ConfigError: unknown environment 'x'; valid names: {ids} ({}, line 2)",
        ),
    ],
)
def test_a_broken_plugin_is_named_with_file_and_line(plugin, text, message):
    plugin.write_text(text)
    with pytest.raises(ConfigError) as error:
        import_plugins([str(plugin)])
    expected = message.format(plugin, ids=", ".join(ENVIRONMENTS))
    assert str(error.value) == f"cannot import the plugin {plugin}: {expected}"
    assert "my_plugin_module" not in sys.modules
    plugin.write_text(TEXT)
    import_plugins([str(plugin)])  # it may be mended


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere/mine.py", "there is no plugin nowhere/mine.py; give a Python file, seen from"),
        ("no_such_module_x", "there is no plugin no_such_module_x; give the name of a module, or a Python file"),
        ("no_such_module_x.y", "there is no plugin no_such_module_x.y; give"),
        ("..", "there is no plugin ..; give"),
    ],
)
def test_a_plugin_that_is_not_there(name, message):
    with pytest.raises(ConfigError, match="^" + message.replace(".", r"\.")):
        import_plugins([name])


def test_a_file_must_not_hide_another_module(tmp_path, monkeypatch):
    for name in ("json", "wave"):  # one is imported, the other could be
        path = tmp_path / f"{name}.py"
        path.write_text("")
        with pytest.raises(ConfigError, match=rf"would hide the module {name}; give its file another name$"):
            import_plugins([str(path)])
    path = tmp_path / "my-plugin.py"
    path.write_text("")
    with pytest.raises(ConfigError, match="a plugin's file is named as a module"):
        import_plugins([str(path)])


@pytest.mark.parametrize("form", ["--plugin={}", "--plugin {}", "--plugin=math,{}", "--plugin=math --plugin={}"])
def test_flags(plugin, form):
    flags = form.format(plugin).split()
    training, environment = parse_configs(A2CConfig, ENVIRONMENTS, [*flags, "--env=Mine-v0", "--mine=3"])
    assert type(environment).__name__ == "MineConfig" and environment.mine == 3
    assert training.plugin == (("math", str(plugin)) if "math" in form else (str(plugin),))
    assert parse_config(BPTTConfig, flags).plugin == training.plugin


def test_a_home_is_expanded_and_help_shows_what_a_plugin_adds(plugin, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(plugin.parent))
    with pytest.raises(SystemExit):
        parse_configs(A2CConfig, ENVIRONMENTS, ["--plugin=~/my_plugin_module.py", "--env=Mine-v0", "--help", "all"])
    text = capsys.readouterr().out
    assert "Mine-v0" in text and "A task of mine." in text and "--mine INT" in text


def test_mistakes_end_a_program_with_one_line(plugin, capsys):
    plugin.write_text("1 / 0\n")
    for parse in (
        lambda: parse_configs(A2CConfig, ENVIRONMENTS, [f"--plugin={plugin}"], prog="train"),
        lambda: parse_config(BPTTConfig, [f"--plugin={plugin}"], prog="train"),
    ):
        with pytest.raises(SystemExit) as caught:
            parse()
        err = capsys.readouterr().err
        assert caught.value.code == 2 and err.startswith(f"train: error: cannot import the plugin {plugin}: ZeroDivis")
        assert err.count("\n") == 1


def test_a_preset_may_name_plugins(plugin, caplog):
    path = plugin.with_name("mine.yaml")
    path.write_text(f"env: Mine-v0\nplugin: {plugin}\nmine: 4\nlearning_rate: 1e-3\n")
    training, environment = parse_configs(A2CConfig, ENVIRONMENTS, [f"--preset={path}"])
    assert environment.mine == 4 and training.plugin == (str(plugin),)
    assert caplog.messages == [f"{path}: importing the plugin {plugin}, which runs its code"]
    judge, environment = parse_configs(EvaluateConfig, ENVIRONMENTS, [f"--preset={path}"], foreign=(A2CConfig,))
    assert judge.plugin == (str(plugin),) and environment.mine == 4


def test_runs_name_their_plugins(plugin, caplog, tmp_path):
    import_plugins_of(tmp_path)  # no run, no plugins
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(to_dict(A2CConfig(plugin=(str(plugin),)))))
    import_plugins_of(tmp_path)
    assert "my_plugin_module" in sys.modules and "which runs its code" in caplog.text


def test_a_run_with_a_plugin_goes_on_is_judged_and_reported(plugin, tmp_path, monkeypatch, caplog):
    small = ["--dataset=digits", "--n_exc=4", "--num_steps=6", "--history_length=6", "--image_size=14", "--num_envs=2"]
    flags = [*small, "--mine=2", "--seed=1", "--eval_episodes=0", "--wandb=disabled", "--no-report", "--no-progress"]
    monkeypatch.chdir(tmp_path)
    builtin = {name: kind for name, kind in ENVIRONMENTS.items() if name != "Mine-v0"}
    run = train(["--plugin", plugin.name, "--env", "Mine-v0", "--episodes=4", *flags]).resolve()
    settings = yaml.safe_load((run / "config.yaml").read_text())
    assert settings["plugin"] == [plugin.name] and settings["mine"] == 2  # as it was given

    def alone() -> None:
        """As another process would begin."""
        forget(set(sys.modules) - {"my_plugin_module"}, builtin)
        caplog.clear()

    alone()
    assert train([f"--resume={run}", "--episodes=6"]).resolve() == run
    assert caplog.messages == [f"{run}/config.yaml: importing the plugin my_plugin_module.py, which runs its code"]
    alone()
    monkeypatch.chdir("/")
    with pytest.raises(SystemExit):  # its path is seen from another folder
        train([f"--resume={run}", "--episodes=8"])
    train([f"--resume={run}", "--episodes=8", f"--plugin={plugin}"])
    assert yaml.safe_load((run / "config.yaml").read_text())["plugin"] == [str(plugin)]
    few = ["--networks=1", "--train_episodes=2", "--label_images=40", "--test_episodes=10"]
    alone()
    with small_pngs():
        assert report([str(run), "--sample_images=2", "--sample_events=200", "--life_images=2"]).is_file()
    assert "importing the plugin" in caplog.text
    alone()
    judged = evaluate([f"--rules={run}", "--env=SNNPlastic-Unsup1-v0", *small[:-1], *few])
    assert str(run) in judged and "importing the plugin" in caplog.text
