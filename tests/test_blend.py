import numpy as np
import pytest

from lincfa import blend
from lincfa.color import linear_to_srgb


def test_equal_renderings_have_no_change_and_a_grey_picture_of_it():
    rgb = np.random.default_rng(0).uniform(-0.2, 1.3, (8, 9, 3)).astype(np.float32)
    assert np.array_equal(blend.change(rgb, rgb.copy()), np.zeros((8, 9)))
    assert np.unique(blend.change_picture(rgb, rgb.copy(), 8.0)).tolist() == [128]


def test_change_is_the_mean_over_colours_of_what_a_screen_shows():
    rgb, other = np.full((1, 1, 3), 0.2), np.array([[[0.5, 0.2, 0.2]]])
    wanted = (linear_to_srgb(np.array(0.5)) - linear_to_srgb(np.array(0.2))) / 3
    assert blend.change(rgb, other)[0, 0] == pytest.approx(wanted)
    assert blend.change(np.full((1, 1, 3), 1.2), np.full((1, 1, 3), 3.0))[0, 0] == 0  # both are white


def test_a_picture_of_the_change_is_signed_amplified_and_cut():
    other = np.full((1, 3, 3), 0.5)
    rgb = other.copy()
    rgb[0, 1, 0], rgb[0, 2, 2] = 0.51, 0.0
    step = linear_to_srgb(np.array(0.51)) - linear_to_srgb(np.array(0.5))
    picture = blend.change_picture(rgb, other, 8.0)
    assert picture[0, 0].tolist() == [128, 128, 128]
    assert picture[0, 1].tolist() == [round(255 * (0.5 + 4 * step)), 128, 128]
    assert picture[0, 2].tolist() == [128, 128, 0]


def test_the_99th_percentile_is_shown_at_nine_tenths():
    truth = np.linspace(0, 4, 10201).reshape(101, 101, 1).repeat(3, 2)
    assert np.percentile(truth * blend.exposure(truth), 99) == pytest.approx(0.9)
    assert np.isfinite(blend.exposure(np.zeros((4, 4, 3))))


def test_the_largest_change_stands_in_the_middle_of_its_square():
    changed = np.zeros((80, 100))
    changed[50:55, 30:35] = 1
    changed[20, 80] = 9
    (most, y, x), (less, y2, x2) = blend.largest_changes(changed, 16, 2)
    assert (y, x) == (52 - 8, 32 - 8)
    assert (y2, x2) == (20 - 8, 80 - 8)
    assert most > less > 0


def test_squares_lie_in_the_frame_and_do_not_overlap():
    changed = np.random.default_rng(1).uniform(size=(40, 50))
    changed[0, 0] = changed[39, 49] = 50
    found = blend.largest_changes(changed, 16, 100)
    covered = np.zeros((40, 50), int)
    for _, y, x in found:
        assert 0 <= y <= 24
        assert 0 <= x <= 34
        covered[y : y + 16, x : x + 16] += 1
    assert covered.max() == 1
    assert len(found) >= 2
    assert [most for most, *_ in found] == sorted((most for most, *_ in found), reverse=True)


def test_a_frame_smaller_than_a_square_has_one():
    assert [place for _, *place in blend.largest_changes(np.ones((10, 12)), 16, 3)] == [[0, 0]]
    assert [place for _, *place in blend.largest_changes(np.ones((16, 16)), 16, 3)] == [[0, 0]]


def test_without_any_change_the_first_squares_are_taken():
    assert blend.largest_changes(np.zeros((32, 32)), 16, 2) == [(0.0, 0, 0), (0.0, 0, 16)]
