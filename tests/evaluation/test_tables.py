"""The table of a comparison: the numbers of the results, in the units that its titles give."""

import csv
import io

from snn_plasticity_gym.evaluation.tables import COLUMNS, csv_table, markdown_table, screen_table


def figures(mean, sd=None) -> dict:
    return {"mean": mean, "sd": sd, "values": [mean]}


RESULTS = {
    "zero": {
        "accuracy": {"all_activity": figures(0.5, 0.0125), "linear_probe": figures(0.25, 0.1)},
        "activity": {"spikes": figures(12.0, 1.0), "active": figures(0.02, 0.001), "winner_entropy": figures(0.75)},
        "learning": {"stability": figures(None), "spikes": figures(3.25)},
    },
    "a|b": {"accuracy": {"nearest_centroid": figures(0.875)}},
}


def test_csv_has_a_row_for_each_rule_and_a_column_for_each_number():
    rows = list(csv.DictReader(io.StringIO(csv_table(RESULTS))))
    assert [row["rule"] for row in rows] == ["zero", "a|b"] and len(rows[0]) == 1 + 2 * len(COLUMNS)
    zero, other = rows
    assert float(zero["all_activity_percent"]) == 50 and float(zero["all_activity_percent_sd"]) == 1.25
    assert float(zero["active_percent"]) == 2 and float(zero["spikes"]) == 12 and float(zero["learning_spikes"]) == 3.25
    assert zero["winner_entropy"] == "0.75" and zero["winner_entropy_sd"] == zero["learning_stability"] == ""
    assert float(other["nearest_centroid_percent"]) == 87.5 and other["all_activity_percent"] == ""


def test_markdown_shows_columns_that_have_a_value():
    lines = markdown_table(RESULTS, ["how it was made"]).splitlines()
    head, rule, zero, other, empty, note = lines
    titles = [title.strip() for title in head.strip("|").split("|")]
    assert titles[:4] == ["rule", "all-activity (%)", "linear probe (%)", "nearest centroid (%)"]
    assert "stability" not in titles and rule == "|---" * len(titles) + "|"
    assert [text.strip() for text in zero.strip("|").split("|")] == [
        "zero", "50.0 ± 1.2", "25.0 ± 10.0", "-", "12.0 ± 1.0", "2.0 ± 0.1", "0.750", "3.2"
    ]  # fmt: skip
    assert other.startswith("| a\\|b | - | - | 87.5 | - ")
    assert (empty, note) == ("", "- how it was made")


def test_lines_for_the_screen_are_aligned():
    lines = screen_table(RESULTS).splitlines()
    assert len(lines) == 3 and len({len(line) for line in lines}) == 1
    assert lines[1].split("  ")[0] == "zero" and "50.0 ± 1.2" in lines[1]


def test_a_long_name_leaves_the_columns_of_the_screen_where_they_are():
    name = "target-stdp:learning_rate=0.01:x_tar=0.3"
    lines = screen_table({"zero": RESULTS["zero"], name: RESULTS["zero"]}).splitlines()
    assert lines[2] == name and lines[3].strip() == lines[1].removeprefix("zero").strip()
    assert len(lines[3]) == len(lines[1]) == len(lines[0]) < 150
