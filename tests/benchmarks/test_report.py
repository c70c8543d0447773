"""The report fills the table of a document and leaves the rest of it alone."""

from __future__ import annotations

import json
from pathlib import Path

from processes import as_command

BEGIN, END = "<!-- measured: begin, written by benchmarks/report.py -->\n", "<!-- measured: end -->"
ROOT = Path(__file__).parents[2]
FRONT = ["random_100", "random_16", "real", "real_built", "real_distinct", "real_error", "learn", "learn_all", "error"]
FRONT += ["random_pairs", "real_pairs", "real_events", "learn_pairs", "learn_events", "gradient_error"]
EPISODE = ["over_convolution", "over_convolution_8", "images_per_second", "images_per_second_8", "share_of_limit"]
EPISODE += ["share_of_limit_8", "share_of_limit_heads", "events_per_episode", "slope_n_exc", "slope_num_envs"]
EPISODE += ["slope_n_exc_events", "all_over_sample", "update", "update_all", "peak_memory"]
TEACHER = ["over_autograd", "summed_over_autograd"]
LINES = {
    "front": dict.fromkeys(FRONT, 30),
    "front_fresh": dict.fromkeys(FRONT, 60),
    "episode": dict.fromkeys(EPISODE, 0.5)
    | {"dataset": "digits", "base_memory": None, "split": {"heads": 0.75, "rest": 0.25}}
    | {"by_n_exc": {"100": 1.0, "200": 2.0}, "by_num_envs": {"1": 1.0, "4": 3.0}},
    "rules": {"one": {"zero": 2.0, "stdp": 1.0}, "many": {"stdp": 7.0}, "lifetimes": 64}
    | {"events_one": {"zero": 3e6, "stdp": 2e6}, "events_many": {"stdp": 1e6}}
    | {"formula_over_stdp_one": 1.5, "formula_over_stdp_many": None}
    | {"over_bindsnet_one": None, "over_bindsnet_many": None}
    | {"learned_over_bindsnet_one": 3.5, "learned_over_bindsnet_many": None},
    "lives": dict.fromkeys(["delta_one", "delta_many", "judged", "slope_n_exc", "slope_num_envs"], 0.5)
    | {"second_thread": 1.9},
    "limits": {f"bare_{count}": {"numbers": 20.0, "rows": 30.0} for count in ("one", "many")}
    | {f"share_{count}": {"zero": 0.25, "stdp": 0.5} for count in ("one", "many")}
    | {"formula_one": 90.0, "formula_many": 95.0, "two_threads": 1.95},
    "teacher": dict.fromkeys(TEACHER, 1.5) | {"over_spikingjelly": None, "over_snntorch": 2.0},
}


@as_command
def test_the_table_is_replaced_and_the_text_stays(run, tmp_path):
    for name, line in LINES.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(line))
    document = tmp_path / "page.md"
    document.write_text(f"# Title\n\n{BEGIN}an old table\n{END}\n\nWhat was learned.\n", encoding="utf-8")
    done = run(ROOT / "benchmarks" / "report.py", "--reuse", f"--lines={tmp_path}", f"--output={document}")
    assert done.returncode == 0, done.stderr
    text = document.read_text(encoding="utf-8")
    assert text.startswith(f"# Title\n\n{BEGIN}| what | aim | measured |\n")
    assert text.endswith(f"\n{END}\n\nWhat was learned.\n")
    table = text.replace("\N{MULTIPLICATION SIGN}", "X")
    assert "an old table" not in text
    assert "| front forward, K=16, random pairs | ≥ 10X | 30X / 60X |" in table
    assert "| STDP over BindsNET: batch 1 / many | ≥ 80X / ≥ 10X | not measured / not measured |" in table
    assert "| … over a whole image without a rule, with STDP, target STDP: 1 lifetime |  | 25% / 50% |" in table
    assert "| … a formula's rows of weights changed in bare arithmetic, µs an image: 1 / many |  | 90 / 95 |" in table
    assert "| … bare sums of weight rows (which is as far as two threads go) |  | 1.9X |" in table
    assert (tmp_path / "images" / "performance.png").stat().st_size > 10_000
