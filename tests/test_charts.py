"""The pictures of the record: every figure at its place."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from tiny_ledger import experiment

from lincfa.charts import Panel, Point, draw, quality_against_cost, torture_against_photographs

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures"
SVG = "{http://www.w3.org/2000/svg}"


def places(text):
    """{text under the mouse: (x, y) within its panel} of the marks."""
    marks = [m for g in ElementTree.fromstring(text).iter(f"{SVG}g") for m in g.iter(f"{SVG}path")]
    numbers = {m.find(f"{SVG}title").text: m.get("transform")[10:-1].split() for m in marks}
    return {name: tuple(map(float, place)) for name, place in numbers.items()}


def texts(text):
    return [t.text for t in ElementTree.fromstring(text).iter(f"{SVG}text")]


def test_points_lie_where_their_values_are_and_labels_are_escaped():
    points = (Point(10, 30, "g<1", "low"), Point(100, 40, "g<1", "high"), Point(1000, 35, "h", "middle"))
    drawn = draw([Panel("p & q", points, {"vng": 30.0}), Panel("empty", (), {"x": 1.0})], "x", "y", logarithmic=True)
    at = places(drawn)
    assert at["high"][0] == pytest.approx((at["low"][0] + at["middle"][0]) / 2, abs=0.2)  # decades are equal
    assert at["middle"][1] == pytest.approx((at["low"][1] + at["high"][1]) / 2, abs=0.2)
    assert at["low"][1] > at["high"][1]  # SVG counts downwards
    assert {"p & q", "g<1", "h", "vng 30.0", "100"} <= set(texts(drawn))
    assert "empty" not in texts(drawn)


def test_marks_of_fewer_scenes_are_hollow_and_the_panel_says_how_many():
    points = (Point(1, 1, "g", "all", (24, 130)), Point(2, 2, "g", "few", (8, 39)), Point(3, 3, "", "vng", (24, 130)))
    drawn = draw([Panel("p", points, {})], "x", "y")
    marks = {m.find(f"{SVG}title").text: m.get("fill") for m in ElementTree.fromstring(drawn).iter(f"{SVG}path")}
    assert [name for name, fill in marks.items() if fill == "white"] == ["few"]
    assert "p (filled: 24 and 130 scenes; hollow: 8 and 39)" in texts(drawn)
    assert "p" in texts(draw([Panel("p", points[::2], {})], "x", "y"))


def test_no_two_groups_of_the_record_look_alike():
    svg = (FIGURES / "torture_against_photographs.svg").read_text(encoding="utf-8")
    legend = [(m.get("d"), m.get("fill")) for m in ElementTree.fromstring(svg).findall(f"{SVG}path")]
    assert len(set(legend)) == len(legend) > 30


def test_labels_that_would_overlap_are_set_apart():
    drawn = draw([Panel("p", (Point(1, 1, "g", "a"),), {"m1": 35.0, "m3": 35.01, "vng": 20.0})], "x", "y")
    labels = {t.text: float(t.get("y", 0)) for t in ElementTree.fromstring(drawn).iter(f"{SVG}text")}
    assert abs(labels["m1 35.0"] - labels["m3 35.0"]) == pytest.approx(12, abs=0.2)


def test_cost_is_of_the_run_or_of_the_card_and_one_network_of_many_arms_stands_once(tmp_path):
    folder = tmp_path / "models" / "net"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"gmac_per_megapixel": 44.5}))
    changes = {"checkpoint": "models/net/weights.safetensors", "readme": True}
    e = experiment("a", {32: [40.0], 64: [43.0]})
    e = type(e)(**{**vars(e), **changes})
    marks = places(quality_against_cost([e], tmp_path))
    assert list(marks) == ["a, the first arm: 44.5 GMAC per MP, 40.00 dB"]


def test_each_arm_and_each_libraw_algorithm_stand_in_the_torture_picture(tmp_path):
    e = experiment("a", {32: [40.0], 64: [43.0]})
    torture = type(e.evaluations[0])(**{**vars(e.evaluations[0]), "suite": "torture:torture_v2"})
    e = type(e)(**{**vars(e), "evaluations": (*e.evaluations, torture)})
    drawn = torture_against_photographs([e], tmp_path)
    assert "hollow" not in drawn  # two scenes each
    marks = places(drawn)
    assert len(marks) == 3
    assert marks["a, width 32 → 64: 43.00 dB, torture 43.00 dB"] > marks["vng"]


def test_a_ledger_without_measurements_gives_a_picture_without_points(tmp_path):
    assert places(quality_against_cost([], tmp_path)) == {}
