"""Answers quote the ledger: the right figure, or an error that says which one is missing."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_ledger import experiment

from lincfa.answers import ONE_SEED, resolve
from lincfa.ledger import Benchmark
from lincfa.runfiles import LedgerError

LEDGER = [experiment("a", {32: [40.0, 41.0], 64: [43.0, 43.0]}), experiment("b", {32: [38.0]}, libraw=34.0)]


@pytest.mark.parametrize(
    ("placeholder", "shown"),
    [
        ("psnr_linear_db of a on truth:kodak24", "40.50 ± 0.71 dB"),
        ("psnr_linear_db of a/a_64_1 on truth:kodak24", "43.00 ± 0.00 dB"),
        ("psnr_linear_db of a minus a/a_64_0 on truth:kodak24", "-2.50 ± 0.71 dB"),  # -3 and -2, seed by seed
        ("psnr_linear_db of a minus vng on truth:kodak24", "+7.50 ± 0.71 dB"),
        ("psnr_linear_db of b minus vng on truth:kodak24", "+4.00 dB" + ONE_SEED),  # b's own vng
        ("psnr_linear_db of a minus b on truth:kodak24", "+2.50 dB" + ONE_SEED),
        ("psnr_linear_db of vng on truth:kodak24, xtrans", "34.00 dB"),
        ("ssim of b on truth:kodak24", "0.7600" + ONE_SEED),
        ("seconds of a", "100 s"),  # of 100 and 101, to the even
        ("seconds of a\n  minus b", "+0 s"),
    ],
)
def test_a_placeholder_is_the_figure_of_the_ledger(placeholder, shown):
    assert resolve(f"{{{placeholder}}}", LEDGER, Path()) == shown


@pytest.mark.parametrize(
    ("placeholder", "reason"),
    [
        ("psnr_linear_db of z on truth:kodak24", "there is no experiment z"),
        ("psnr_linear_db of a/b_32_0 on truth:kodak24", "a has no run b_32_0; there are: a_32_0"),
        ("psnr_linear_db of a on truth:mcm", "no suite.s. of a; there are: truth:kodak24, xtrans"),
        ("grid_db of a on truth:kodak24", "grid_db of a on truth:kodak24, xtrans is not recorded"),
        ("psnr_linear_db of a minus ahd on truth:kodak24", "psnr_linear_db of ahd .* is not recorded"),
        ("gmac_per_megapixel of a", "gmac_per_megapixel of a is not recorded"),
        ("name of a", "there are: seconds, images"),
        ("__class__", "is not METRIC of SUBJECT"),
    ],
)
def test_a_figure_that_is_not_there_is_named(placeholder, reason):
    with pytest.raises(LedgerError, match=rf"^_answers\.md: \{{{re.escape(placeholder)}\}}: .*{reason}"):
        resolve(f"- {{{placeholder}}}", LEDGER, Path())


def test_a_suite_of_both_cfas_needs_its_cfa():
    both = [*LEDGER, experiment("c", {32: [39.0]}, libraw=35.0, cfa="bayer")]
    with pytest.raises(LedgerError, match=r"several suite\(s\) of vng"):
        resolve("{psnr_linear_db of vng on truth:kodak24}", both, Path())
    assert resolve("{psnr_linear_db of vng on truth:kodak24, bayer}", both, Path()) == "35.00 dB"


def test_a_start_that_all_runs_share_is_a_constant_and_no_seed():
    start, tuned = experiment("start", {32: [40.0]}), experiment("tuned", {32: [39.0, 38.0]})
    runs = [replace(run, config=run.config | {"start_from": f"{start.runs[0].folder}/best.pt"}) for run in tuned.runs]
    asked = "{psnr_linear_db of tuned minus start on truth:kodak24}"
    assert resolve(asked, [start, tuned], Path()) == "-1.50 dB" + ONE_SEED
    assert resolve(asked, [start, replace(tuned, runs=tuple(runs))], Path()) == "-1.50 ± 0.71 dB"


def test_a_placeholder_quotes_the_one_row_of_a_benchmark_that_it_describes(tmp_path):
    rows = [
        {"net": "s", "bits": 8, "change_psnr_db": -0.12345, "cost": {"seconds": 0.25}},
        {"net": "s", "bits": 16, "change_psnr_db": 0.0, "cost": {"seconds": 0.5}},
        {"net": "l", "bits": 8, "cost": {"seconds": 2}},
    ]
    (tmp_path / "x.json").write_text(json.dumps({"rows": rows}))
    ledger = [replace(LEDGER[0], benchmarks=(Benchmark("x.json", {}),))]
    text = "{change_psnr_db of a where net=s bits=8}, {cost.seconds of a where net=s bits=16}"
    assert resolve(text, ledger, tmp_path) == "-0.123 dB, 0.5"
    for placeholder, reason in (
        ("cost.seconds of a where bits=8", "2 rows of a's benchmarks have bits=8"),
        ("cost.seconds of a where bits=4", "0 rows of a's benchmarks have bits=4"),
        ("cost.hours of a where net=l", "the row has no number cost.hours; it has: net, bits, cost.seconds"),
        ("cost.seconds of z where net=l", "there is no experiment z"),
    ):
        with pytest.raises(LedgerError, match=re.escape(f"{{{placeholder}}}: {reason}")):
            resolve(f"{{{placeholder}}}", ledger, tmp_path)


def test_a_typed_psnr_and_a_lost_brace_are_refused():
    with pytest.raises(LedgerError, match=r"'0\.5 dB' is typed"):
        resolve("- It gains 0.5 dB.", LEDGER, Path())
    with pytest.raises(LedgerError, match="without its partner"):
        resolve("- It gains {psnr_linear_db of a", LEDGER, Path())


def test_comments_vanish_items_become_one_line_each_and_the_rest_stays():
    text = "<!-- {no figure} -->\nIntro.\n\n**1. Q?**\n\n- First\n  {seconds of b}.\n  - Sub\n    item.\n"
    text += "- {ssim of b on truth:kodak24}"
    lines = ["Intro.", "", "**1. Q?**", "", "- First 100 s.", "  - Sub item.", f"- 0.7600{ONE_SEED}"]
    assert resolve(text, LEDGER, Path()).split("\n") == lines
