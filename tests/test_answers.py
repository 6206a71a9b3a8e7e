"""Answers quote the ledger: the right figure, or an error that says which one is missing."""

import re

import pytest
from tiny_ledger import experiment

from lincfa.answers import ONE_SEED, resolve
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
    assert resolve(f"{{{placeholder}}}", LEDGER) == shown


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
        resolve(f"- {{{placeholder}}}", LEDGER)


def test_a_suite_of_both_cfas_needs_its_cfa():
    both = [*LEDGER, experiment("c", {32: [39.0]}, libraw=35.0, cfa="bayer")]
    with pytest.raises(LedgerError, match=r"several suite\(s\) of vng"):
        resolve("{psnr_linear_db of vng on truth:kodak24}", both)
    assert resolve("{psnr_linear_db of vng on truth:kodak24, bayer}", both) == "35.00 dB"


def test_a_typed_psnr_and_a_lost_brace_are_refused():
    with pytest.raises(LedgerError, match=r"'0\.5 dB' is typed"):
        resolve("- It gains 0.5 dB.", LEDGER)
    with pytest.raises(LedgerError, match="without its partner"):
        resolve("- It gains {psnr_linear_db of a", LEDGER)


def test_comments_vanish_items_become_one_line_each_and_the_rest_stays():
    text = "<!-- {no figure} -->\nIntro.\n\n**1. Q?**\n\n- First\n  {seconds of b}.\n  - Sub\n    item.\n"
    text += "- {ssim of b on truth:kodak24}"
    lines = ["Intro.", "", "**1. Q?**", "", "- First 100 s.", "  - Sub item.", f"- 0.7600{ONE_SEED}"]
    assert resolve(text, LEDGER).split("\n") == lines
