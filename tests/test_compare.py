import itertools
import json
import math
import re
from functools import partial
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from tiny import write_photographs
from tiny_release import write_release

from lincfa import comparepage, metrics
from lincfa.cfa import XTRANS
from lincfa.compare import SEED, compare, differences, paired
from lincfa.data import torture
from lincfa.data.dataset import Scene
from lincfa.evaluate import BORDER_PX, Model, evaluate, json_safe, libraw_model, summarise

SIDE = 112
VOID = {"meta", "img"}


def scene(number, balance=(1.0, 1.0, 1.0)):
    rgb = (torture.torture_scene(number, SIDE) / balance).astype(np.float32)
    return Scene(f"s{number}", XTRANS.mosaic(rgb), rgb, XTRANS, np.array(balance), None)


SCENES = [scene(n, (2.0, 1.0, 1.5)) for n in (2, 3, 9)]


def offset(name, amount):
    return Model(name, lambda s: s.rgb + np.float32(amount))


def spotted(name, places):
    """The truth with a bright square of 7 px whose middle is at places[scene name]."""

    def demosaic(s):
        rgb = s.rgb.copy()
        if s.name in places:
            y, x = places[s.name]
            rgb[y - 3 : y + 4, x - 3 : x + 4] += 0.3
        return rgb

    return Model(name, demosaic)


class Page(HTMLParser):
    """Refuses what is not closed in order, and collects tags, tables of text and the page's data."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.tables, self.data = [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += text
        if self.open and self.open[-1] == "script" and self.tags[-1][1].get("id") == "data":
            self.data += text


@pytest.fixture(scope="module")
def comparison():
    models = [offset("good/net.pt", 0.01), offset("bad/net.pt", 0.03), libraw_model("bilinear", "xtrans")]
    return compare(models, SCENES, side_px=32, count=4, at=[("s9", 5, 7)])


@pytest.fixture(scope="module")
def page(comparison):
    return comparepage.page(comparison, {"commit": "0123abcd", "command": "python <x> & y"})


def test_the_page_holds_evaluates_numbers(comparison, page):
    models = list(comparison.models.values())
    rows = evaluate(models, SCENES)
    letters = {model.name: letter for letter, model in comparison.models.items()}
    lettered = [row | {"model": letters[row["model"]]} for row in rows]
    found = json.loads(Page(page).data)
    assert found["rows"] == json_safe(lettered)
    means = summarise(rows)["mean"]
    assert found["mean"] == json_safe({letters[name]: mean for name, mean in means.items()})
    shown = {(row[0], row[1][0]): row[2] for row in Page(page).tables[0][1:]}
    for name in means:
        assert shown["psnr_linear_db", letters[name]] == f"{means[name]['psnr_linear_db']:.2f}"
        assert shown["ssim", letters[name]] == f"{means[name]['ssim']:.4f}"
    values = [float(attrs["data-value"]) for tag, attrs in Page(page).tags if "data-value" in attrs]
    assert {row["psnr_linear_db"] for row in rows} <= set(values)
    assert [row[0] for row in Page(page).tables[1]] == ["image", "s2", "s3", "s9"]


def test_the_page_is_one_file_that_parses(page):
    parsed = Page(page)
    assert "http" not in page
    assert not {tag for tag, _ in parsed.tags} & {"link", "iframe", "base", "a", "object"}
    assert not [attrs for _, attrs in parsed.tags if "href" in attrs]
    assert not re.search(r"url\(|@import", page)
    images = [attrs for tag, attrs in parsed.tags if tag == "img"]
    # The truth, and for A, B, C: shown, less the truth and, but for A, less A; of 1 + 4 crops.
    assert len(images) == 5 * (1 + 3 + 3 + 2)
    assert all(attrs["src"].startswith("data:image/png;base64,") for attrs in images)
    assert len({attrs["alt"] for attrs in images}) == len(images)
    assert "python &lt;x&gt; &amp; y" in page


def test_crops_are_of_the_same_place_in_all_pictures(comparison):
    asked, *chosen = comparison.crops
    assert (asked.place, asked.change) == ("s9:5,7", None)
    balanced = SCENES[2].rgb[5:37, 7:39] * SCENES[2].white_balance
    scale = asked.truth / balanced
    assert scale.min() == pytest.approx(scale.max(), rel=1e-5)  # one exposure
    np.testing.assert_allclose(asked.images["B"] / scale, balanced + 0.03 * SCENES[2].white_balance, atol=1e-5)
    db = metrics.psnr_srgb(balanced + 0.03 * SCENES[2].white_balance, balanced, border=0)
    assert asked.psnr_srgb_db["B"] == pytest.approx(db, abs=1e-3)
    # Each image first gives its best; the fourth of three images is a second one.
    assert {crop.image for crop in chosen[:3]} == {"s2", "s3", "s9"}
    assert [crop.change for crop in chosen[:3]] == sorted((crop.change for crop in chosen[:3]), reverse=True)
    assert len(chosen) == 4


def test_the_panel_has_each_crop_with_its_differences(comparison):
    sheet = comparepage.panel(comparison)
    zoom, text_px = 256 // 32, 14
    assert sheet.shape == (5 * (text_px + 3 * (32 * zoom + text_px)), 4 * 32 * zoom, 3)


def test_identical_models_do_not_differ_and_nothing_is_significant():
    found = compare([offset("a", 0.02), offset("b", 0.02)], SCENES, side_px=32, count=2)
    for d in found.differences:
        assert d.mean == 0 or d.images == 0
        assert not d.significant
        assert d.better in (0, None)
        assert d.worse in (0, None)
    assert next(d for d in found.differences if d.metric == "ssim").p == 1
    assert all(crop.change == 0 for crop in found.crops)
    (line,) = comparepage.verdicts(found)
    assert "psnr_linear_db +0.000 over 3 images" in line
    assert line.endswith("not significant.")


def test_a_planted_difference_is_found_where_it_is():
    places = {"s3": (60, 44), "s9": (70, 80)}
    models = [offset("a", 0.0), spotted("b", places), spotted("c", {"s2": (50, 50)})]
    found = compare(models, SCENES, side_px=32, count=3).crops
    assert {crop.image for crop in found} == {"s2", "s3", "s9"}
    for crop in found:
        y, x = {**places, "s2": (50, 50)}[crop.image]
        # A step counts more where the scene is dark, which moves the middle a little.
        assert abs(crop.y + 16 - y) <= 2
        assert abs(crop.x + 16 - x) <= 2
    assert {crop.image for crop in compare(models[:2], SCENES, side_px=32, count=2).crops} == set(places)


def test_a_difference_in_the_border_that_no_metric_sees_is_not_shown():
    found = compare([offset("a", 0.0), spotted("b", {"s2": (8, 8), "s3": (50, 60)})], SCENES, side_px=16, count=1)
    assert BORDER_PX > 11
    (crop,) = found.crops
    assert crop.image == "s3"
    assert abs(crop.y + 8 - 50) <= 2
    assert abs(crop.x + 8 - 60) <= 2


def test_the_p_value_is_the_share_of_all_exchanges_that_differ_as_much():
    own = np.array([30.0, 31.5, 29.0, 33.0, 30.2, 31.1, 28.8])
    reference = own - np.array([0.5, 0.7, -0.1, 0.3, 0.9, 0.2, 0.4])
    gains = own - reference
    means = [np.mean(gains * signs) for signs in itertools.product((1, -1), repeat=7)]
    share = np.mean(np.abs(means) >= abs(gains.mean()) - 1e-12)
    found = paired("psnr_linear_db", "B", own, reference)
    assert found.p == pytest.approx(share)
    assert found.significant
    assert (found.better, found.worse, found.images) == (6, 1, 7)
    assert found.mean == pytest.approx(gains.mean())
    assert found == paired("psnr_linear_db", "B", own, reference)  # not by chance


def test_the_interval_is_that_of_the_t_distribution_where_that_is_right():
    gains = np.random.default_rng(SEED + 5).normal(0.3, 1, 200)
    found = paired("psnr_linear_db", "B", gains, np.zeros(200))
    low, high = stats.t.interval(0.95, 199, gains.mean(), stats.sem(gains))
    assert found.low == pytest.approx(low, abs=0.02)  # a tenth of its width is 0.03
    assert found.high == pytest.approx(high, abs=0.02)


def test_five_images_are_too_few_for_significance_and_six_are_enough():
    for number, enough in ((2, False), (5, False), (6, True)):
        values = 30 + np.arange(number) / 10
        assert paired("psnr_linear_db", "B", values + 3 + values / 100, values).significant is enough


def test_with_one_image_no_significance_is_claimed():
    found = compare([offset("a", 0.01), offset("b", 0.05)], SCENES[:1], side_px=32, count=1)
    d = next(d for d in found.differences if d.metric == "psnr_linear_db")
    assert d.mean < -5
    assert math.isnan(d.p)
    assert math.isnan(d.low)
    assert not d.significant
    assert comparepage.verdicts(found)[0].endswith("over 1 image. With one image no significance is claimed.")
    assert "no claim" in comparepage.page(found, {})


def test_better_is_higher_lower_or_nearer_to_one_as_the_metric_has_it():
    own, reference = np.array([0.5, 0.9, 1.4]), np.array([0.6, 0.8, 1.3])

    def counts(metric):
        found = paired(metric, "B", own, reference)
        return found.better, found.worse

    assert counts("psnr_srgb_db") == counts("ssim") == (2, 1)
    assert counts("false_colour") == (1, 2)
    assert counts("texture") == (1, 2)
    assert counts("laplacian_variance") == (None, None)


def test_values_that_are_not_finite_are_left_out_of_differences_in_pairs():
    own, reference = np.array([math.inf, 30, math.nan, 32]), np.array([40, math.inf, 30, 31.0])
    found = paired("psnr_linear_db", "B", own, reference)
    assert (found.images, found.mean) == (1, 1.0)
    assert (found.better, found.worse) == (2, 1)  # infinite is better than 40
    nothing = paired("highlights_kept", "B", own * math.nan, reference)
    assert nothing.images == 0
    assert math.isnan(nothing.mean)


def test_differences_pair_images_and_not_ranks():
    rows = [
        {"model": m, "image": str(i), "ssim": v}
        for i, pair in enumerate([(0.1, 0.2), (0.9, 0.7)])
        for m, v in zip("AB", pair, strict=True)
    ]
    (found,) = differences(rows)
    assert (found.better, found.worse) == (1, 1)
    assert found.mean == pytest.approx(-0.05)


@pytest.mark.parametrize(
    ("models", "scenes", "at", "said"),
    [
        (1, SCENES, [], "2 to 26 models can be compared, not 1"),
        (2, [], [], "no image"),
        (2, SCENES, [("s4", 0, 0)], "no image is named 's4'; there are: s2, s3, s9"),
        (2, SCENES, [("s2", 0, SIDE - 31)], "no square of 32 at 0,81"),
    ],
)
def test_what_cannot_be_compared_is_refused(models, scenes, at, said):
    with pytest.raises(ValueError, match=said):
        compare([offset("a", 0.0)] * models, scenes, side_px=32, count=1, at=at)


@pytest.fixture
def script(tmp_path, monkeypatch, run_script):
    """run(*arguments) -> (exit status, stdout, stderr), in a folder with the released model 'tiny' and two images."""
    write_release(tmp_path, "tiny", "xtrans")
    write_release(tmp_path, "bayer", "bayer")
    write_photographs(tmp_path / "truth", (2, 3), side=96)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return partial(run_script, "utils/compare_checkpoints.py")


def test_the_script_writes_a_page_and_a_picture(script, tmp_path):
    status, out, err = script(
        "bilinear",
        "tiny",
        "--suite",
        "truth=truth",
        "--crop",
        "16",
        "--crops",
        "2",
        "--at",
        "scene03:3,4",
        "--out",
        "o",
    )
    assert status == 0, err
    found = json.loads(Page((tmp_path / "o/compare.html").read_text()).data)
    assert found["models"] == {"A": "bilinear", "B": "tiny"}
    assert found["facts"].keys() >= {"command", "commit", "suite", "data", "weights"}
    assert found["facts"]["command"].startswith("python scripts/utils/compare_checkpoints.py bilinear tiny")
    assert found["facts"]["suite"] == "truth, truth, xtrans, 2 images"
    with Image.open(tmp_path / "o/compare.png") as picture:
        assert picture.format == "PNG"
    assert "B tiny against A bilinear: psnr_linear_db -" in out
    assert out.endswith("o/compare.html\no/compare.png\n")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("bilinear", "nobody", "--suite", "truth=truth"), 1, "nobody: neither a checkpoint file nor a released model"),
        (("tiny", "bayer", "--suite", "truth=truth"), 1, "bayer: trained for bayer mosaics, and these are xtrans"),
        (("tiny", "bilinear", "--suite", "truth=empty"), 1, "empty: no folder with images"),
        (("tiny", "bilinear", "--suite", "truth=truth", "--at", "x"), 2, "'x' is not IMAGE:Y,X"),
        (("tiny", "bilinear", "--suite", "truth=truth", "--crops", "0"), 2, "0 is not above 0"),
        (("tiny", "--suite", "truth=truth"), 2, "the following arguments are required: B"),
    ],
)
def test_the_script_says_in_one_line_what_is_wrong(script, tmp_path, arguments, status, said):
    found, out, err = script(*arguments, "--out", "page.html")
    assert found == status
    assert said in err.splitlines()[-1]
    assert out == ""
    assert not (tmp_path / "page.html").exists()
