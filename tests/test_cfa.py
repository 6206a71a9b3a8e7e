import numpy as np
import pytest
import torch

from lincfa.cfa import CFA, RGGB, XTRANS, UnknownCFAError, batch_masks, batch_mosaic, dihedral

SEVEN = CFA.parse("RGB GGB BBR")
PATTERNS = [XTRANS, XTRANS.shift(2, 1), RGGB, RGGB.shift(0, 1), SEVEN]


def test_an_xtrans_tile_has_8_red_20_green_and_8_blue():
    assert np.bincount(XTRANS.array.ravel()).tolist() == [8, 20, 8]


def test_there_are_18_xtrans_and_4_bayer_phases():
    assert len(XTRANS.phases) == 18
    assert len(RGGB.phases) == 4
    assert XTRANS.shift(3, 3) == XTRANS


def test_swapping_red_and_blue_is_a_shift_by_half_a_period():
    assert np.array_equal(XTRANS.shift(0, 3).array, 2 - XTRANS.array)


@pytest.mark.parametrize("cfa", PATTERNS)
def test_shift_follows_its_equation(cfa):
    for dy, dx in [(1, 0), (0, 1), (5, 4), (-7, 3)]:
        shifted = cfa.shift(dy, dx)
        for y in range(-2, 9):
            for x in range(-2, 9):
                assert shifted.color_at(y, x) == cfa.color_at(y + dy, x + dx)


@pytest.mark.parametrize("cfa", [*XTRANS.phases, *RGGB.phases])
def test_every_phase_is_recognised_from_a_files_colours(cfa):
    found = CFA.from_colors(cfa.color_map(40, 33))
    assert found == cfa
    reference = {"xtrans": XTRANS, "bayer": RGGB}[found.family]
    assert reference.shift(*found.phase) == cfa


def test_each_dihedral_image_of_xtrans_is_one_of_its_shifts():
    for k in range(8):
        assert XTRANS.dihedral(k, 12, 12) in XTRANS.phases


@pytest.mark.parametrize("cfa", PATTERNS)
@pytest.mark.parametrize("k", range(8))
def test_augment_then_mosaic_is_mosaic_with_the_moved_cfa(cfa, k):
    rgb = np.random.default_rng(k).random((17, 23, 3))
    moved = cfa.dihedral(k, 17, 23)
    assert np.array_equal(dihedral(cfa.mosaic(rgb), k), moved.mosaic(dihedral(rgb, k)))


def test_the_eight_symmetries_differ_and_numpy_agrees_with_torch():
    image = np.arange(12.0).reshape(3, 4)
    seen = [dihedral(image, k) for k in range(8)]
    assert len({array.tobytes() + bytes(array.shape) for array in seen}) == 8
    for k, array in enumerate(seen):
        assert np.array_equal(dihedral(torch.from_numpy(image), k).numpy(), array)


@pytest.mark.parametrize("cfa", PATTERNS)
def test_padded_samples_keep_their_colour(cfa):
    colors = cfa.color_map(20, 25)
    padded = cfa.pad(colors, 7, 40, 13, 3)
    assert padded.shape == (67, 41)
    assert np.array_equal(padded, cfa.shift(-7, -13).color_map(67, 41))
    assert np.array_equal(padded[7:27, 13:38], colors)


def test_ordinary_reflection_would_not_keep_xtrans_colours():
    colors = XTRANS.color_map(24, 24)
    assert not np.array_equal(np.pad(colors, 4, mode="reflect"), XTRANS.shift(-4, -4).color_map(32, 32))


def test_padding_takes_the_nearest_row_of_equal_phase_to_the_mirror_image():
    rows = RGGB.pad(np.arange(10.0)[:, None].repeat(10, 1), 3, 2, 0, 0)[:, 0]
    assert rows.tolist() == [3, 2, 1, *range(10), 8, 7]


def test_a_frame_smaller_than_a_period_is_not_padded():
    with pytest.raises(ValueError, match="every 6"):
        XTRANS.pad(np.zeros((5, 9)), 1, 1, 1, 1)


@pytest.mark.parametrize("cfa", PATTERNS)
def test_masks_sum_to_one_and_pick_what_the_mosaic_sees(cfa):
    masks = cfa.masks(13, 14)
    assert np.array_equal(masks.sum(0), np.ones((13, 14)))
    rgb = np.random.default_rng(0).random((13, 14, 3)).astype(np.float32)
    assert np.array_equal((masks.transpose(1, 2, 0) * rgb).sum(2), cfa.mosaic(rgb))


def test_a_torch_batch_is_mosaiced_as_numpy_does_each_image():
    rgb = np.random.default_rng(1).random((len(PATTERNS), 12, 18, 3)).astype(np.float32)
    mosaic = batch_mosaic(torch.from_numpy(rgb).permute(0, 3, 1, 2), batch_masks(PATTERNS, 12, 18))
    for cfa, image, got in zip(PATTERNS, rgb, mosaic[:, 0].numpy(), strict=True):
        assert np.array_equal(got, cfa.mosaic(image))


def test_mosaicing_is_adjoint_to_spreading_samples():
    rng = np.random.default_rng(2)
    x, y = rng.random((12, 12, 3)), rng.random((12, 12))
    spread = XTRANS.masks(12, 12).transpose(1, 2, 0) * y[..., None]
    assert np.isclose((XTRANS.mosaic(x) * y).sum(), (x * spread).sum())


def test_what_is_no_red_green_blue_pattern_is_refused():
    with pytest.raises(UnknownCFAError, match="other than red, green and blue"):
        CFA.from_colors(np.full((20, 20), 3))
    with pytest.raises(UnknownCFAError, match="repeat"):
        CFA.from_colors(np.random.default_rng(0).integers(0, 3, (40, 40)))
    with pytest.raises(UnknownCFAError, match="letters"):
        CFA.parse("RGXB")


def test_an_arbitrary_tile_keeps_its_smallest_form():
    assert CFA.from_tile(np.tile(SEVEN.array, (2, 3))) == SEVEN
    assert SEVEN.family == "other"
    assert SEVEN.period == (3, 3)
