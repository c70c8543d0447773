"""The documents name what is there: links, files, flags; their Python runs; their lines are short."""

import functools
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from processes import forked

from snn_plasticity_gym.config.bptt import BPTTConfig
from snn_plasticity_gym.config.ceiling import CeilingConfig
from snn_plasticity_gym.config.environments import ENVIRONMENTS
from snn_plasticity_gym.config.evaluate import EvaluateConfig
from snn_plasticity_gym.config.evolve import EvolveConfig
from snn_plasticity_gym.config.plastic import PlasticConfig
from snn_plasticity_gym.config.report import ReportConfig
from snn_plasticity_gym.config.robustness import RobustnessConfig
from snn_plasticity_gym.config.schema import read_yaml, setting_fields
from snn_plasticity_gym.config.svpg import SVPGConfig
from snn_plasticity_gym.config.svpg_search import SVPGSearchConfig
from snn_plasticity_gym.config.training import A2CConfig, ESConfig, PPOConfig

ROOT = Path(__file__).parents[1]
GENERATED = ROOT / "docs" / "generated"  # by the manual's build
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    ROOT / "examples" / "README.md",
    *sorted(path for path in ROOT.glob("docs/**/*.md") if GENERATED not in path.parents),
]
WIDTH = 160
PROGRAMS = {
    "train_a2c": A2CConfig,
    "train_ppo": PPOConfig,
    "train_es": ESConfig,
    "evolve": EvolveConfig,
    "train_svpg": SVPGConfig,
    "search_svpg": SVPGSearchConfig,
    "train_plastic": PlasticConfig,
    "train_bptt": BPTTConfig,
    "evaluate": EvaluateConfig,
    "ablation": EvaluateConfig,
    "gradient_ceiling": CeilingConfig,
    "report": ReportConfig,
    "robustness": RobustnessConfig,
}
BUILT_IN = {ENVIRONMENTS[env_id] for env_id in ENVIRONMENTS if env_id.startswith("SNNPlastic-")}  # no plugin's
WITHOUT_ENVIRONMENT = (BPTTConfig, PlasticConfig, ReportConfig, RobustnessConfig, SVPGConfig, SVPGSearchConfig)
SWEEP_FLAGS = {"count", "program"}
READERS_OWN = {"my_module.py", "examples/NAME.py"}  # placeholders

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def outside_fences(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def fenced(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def code_spans(page: Path) -> list[str]:
    """Return what stands between single backticks, line ends as blanks."""
    prose = outside_fences(page.read_text(encoding="utf-8"))
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@functools.cache
def files() -> set[str]:
    """Return all files of the project, without hidden folders and what programs have made."""
    made = {"build", "dist", "runs", "wandb", "__pycache__"}
    return {
        str(path.relative_to(ROOT))
        for folder in ROOT.iterdir()
        if folder.is_dir() and not folder.name.startswith(".") and folder.name not in made
        for path in folder.rglob("*.py")
    } | {path.name for path in ROOT.glob("*.py")}


@pages
def test_lines_are_short(page):
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
    assert [(number, len(line)) for number, line in lines if len(line) > WIDTH] == []


@pages
def test_links_and_images_exist(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", outside_fences(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target) or target.startswith("generated/"):  # which `make docs` writes and checks
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        if not path.exists():
            broken.append(target)
        elif anchor:
            headings = re.findall(r"^#+ (.*)$", outside_fences(path.read_text(encoding="utf-8")), re.M)
            if anchor not in map(slug, headings):
                broken.append(target)
    assert broken == []


@pages
def test_python_files_that_are_named_exist(page):
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"[\w./-]*\w\.py\b", re.sub(r"https?://\S+", "", text))) - READERS_OWN
    known = files()
    missing = {name for name in named if not any(f"/{file}".endswith(f"/{name.lstrip('./')}") for file in known)}
    assert missing == set()


def settings_of(config: type, argv: list[str]) -> set[str]:
    """Return the flags that a program has: its own, and those of the environment that is chosen."""
    names = {info.name for info in setting_fields(config)}
    if config in WITHOUT_ENVIRONMENT:
        return names
    chosen = dict(pairwise(argv))
    env_id = chosen.get("--env")
    preset = ROOT / "trainers" / "presets" / f"{chosen.get('--preset')}.yaml"
    while env_id is None and preset.exists():
        values = read_yaml(preset)
        env_id, preset = values.get("env"), preset.parent / f"{values.get('base')}.yaml"
    environments = {ENVIRONMENTS[env_id]} if env_id in ENVIRONMENTS else BUILT_IN
    return names | {info.name for environment in environments for info in setting_fields(environment)}


def flags(argv: list[str]) -> Iterator[str]:
    """Yield the names of flags, with underscores."""
    for token in argv:
        if re.match(r"--[A-Za-z]", token):
            yield token.partition("=")[0][2:].replace("-", "_")


def unknown_flags(argv: list[str], known: set[str]) -> list[str]:
    known = known | {"help"}
    return [name for name in flags(argv) if name not in known and name.removeprefix("no_") not in known]


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield (program, arguments) of all command lines in blocks and in prose that run one of our programs."""
    lines = [line for block in fenced(page, "bash") for line in block.replace("\\\n", " ").splitlines()]
    for line in [*lines, *code_spans(page)]:
        if made := re.match(r'make train ARGS="(.*)"', line):
            line = f"trainers/train_a2c.py {made[1]}"
        try:
            tokens = shlex.split(line, comments=True)
        except ValueError:  # an apostrophe in a span that is no command
            continue
        for place, token in enumerate(tokens):
            program = re.fullmatch(r"(?:trainers/)?(\w+)\.py", token)
            if program and (program[1] in PROGRAMS or program[1] == "sweep"):
                yield program[1], tokens[place + 1 :]
                break


@pages
def test_flags_of_commands_are_flags_of_their_program(page):
    wrong = []
    for program, argv in commands(page):
        if program == "sweep" and "--" in argv:  # what follows is for the runs
            argv = argv[: argv.index("--")]
        known = SWEEP_FLAGS if program == "sweep" else settings_of(PROGRAMS[program], argv)
        wrong += [f"{program}.py --{name}" for name in unknown_flags(argv, known)]
    assert wrong == []


@pages
def test_flags_in_prose_are_flags_of_some_program(page):
    if page.name == "CHANGELOG.md":
        page_text = page.read_text(encoding="utf-8").partition("\n## 0.1.0")[0]  # later names are not known to it
        spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", page_text)]
    else:
        spans = code_spans(page)
    known = SWEEP_FLAGS | {name for config in PROGRAMS.values() for name in settings_of(config, [])}
    known |= {"bindsnet_python", "spikingjelly_python", "snntorch_python", "quick", "json"}  # of benchmarks
    known |= {"config_settings"}  # of pip
    wrong = [span for span in spans if span.startswith("--") and unknown_flags(span.split(), known)]
    assert wrong == []


def run_python(source: str, folder: Path) -> None:
    """Run source in a process of its own, so that what it registers stays there."""
    script = folder / "page.py"
    script.write_text(source, encoding="utf-8")
    told = forked(script, folder=folder)
    assert told.returncode == 0, told.stderr[-2000:]


SMALL = 'dataset="digits", num_steps=8, history_length=8, n_exc=4'
TINY = (  # what a page says, and what is quick
    ("n_exc=100", SMALL),
    ('"SNNPlastic-Unsup1-v0", num_envs=8)', f'"SNNPlastic-Unsup1-v0", num_envs=2, {SMALL})'),
    ('"SNNPlastic-Unsup1-v0", num_envs=4)', f'"SNNPlastic-Unsup1-v0", num_envs=2, {SMALL})'),
    ("num_envs=8", "num_envs=2"),
    ("total_timesteps=200 * 100", "total_timesteps=2 * 2 * 8"),
    ("episodes=64", "episodes=2"),
    ('third_factor="targeted"', 'third_factor="targeted", max_actions=3, hidden_sizes=(4,)'),
    ("runs/SNNPlastic-Unsup1-v0/NAME", "my_rule"),
)
PROGRAMS_OF_PAGES = {  # pages whose Python blocks, one after the other, are a program, and what must hold at its end
    ("README.md", "docs/rules.md"): "assert rule.to_torchscript('rule.pt').exists()",
    (
        "docs/environments.md",
        "docs/learners.md",
    ): "import os; assert result.reward.shape == (2,) and os.path.exists('rule.zip')",
}


@pytest.mark.parametrize("names", PROGRAMS_OF_PAGES)
def test_python_of_pages_runs(names, tmp_path):
    source = "\n".join(block for name in names for block in fenced(ROOT / name, "python"))
    small = functools.reduce(lambda text, change: text.replace(*change), TINY, source)
    assert small != source
    run_python(f"{small}\n{PROGRAMS_OF_PAGES[names]}", tmp_path)


def test_the_first_program_is_that_of_the_front_page():
    def code(name):
        return [line.partition("  #")[0] for line in fenced(ROOT / name, "python")[0].splitlines()]

    assert code("docs/start_here.md") == code("README.md")


def test_python_of_bring_your_own_runs_as_one_module(tmp_path):
    source = "\n".join(fenced(ROOT / "docs" / "bring_your_own.md", "python"))
    world = """
worlds = gymnasium.make_vec("SNNPlastic-Control-v0", num_envs=2, encoder="sign", third_factor="rpe", max_actions=3)
"""
    run_python(source + world.replace('"sign"', '"sign", encoder_kwargs=\'{"copies": 8}\''), tmp_path)
    assert (tmp_path / "rows_rule" / "rule.safetensors").exists()
