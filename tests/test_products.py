"""Compiled products of matrices are numpy's."""

import numba
import numpy as np
import pytest
import torch

from lincfa.models.products import COLUMNS, ROWS, in_panels, multiply


@numba.njit
def product(rows, panels, count, to):
    multiply(rows, panels, count, to)


@pytest.mark.parametrize("inputs", [1, 27, 64])
@pytest.mark.parametrize("rows", [ROWS, ROWS + 1, 4 * ROWS - 1])
@pytest.mark.parametrize("outputs", [1, COLUMNS, 40, 80])
def test_a_product_is_numpys(rows, inputs, outputs):
    random = np.random.default_rng(0)
    samples, weight = random.normal(size=(rows, inputs)), random.normal(size=(inputs, outputs))
    to = np.full((rows, -(-outputs // COLUMNS) * COLUMNS), np.nan, np.float32)
    panels = in_panels(torch.from_numpy(weight.astype(np.float32))).numpy()
    product(samples.astype(np.float32), panels, rows, to)
    np.testing.assert_allclose(to[:, :outputs], samples @ weight, atol=1e-5 * np.sqrt(inputs))
    assert not to[:, outputs:].any()


def test_of_the_rows_only_so_many_are_needed():
    """Ten, made six at a time, do not depend on what is in the others."""
    random = np.random.default_rng(0)
    samples, weight = (random.normal(size=size).astype(np.float32) for size in ((4 * ROWS, 8), (8, COLUMNS)))
    samples[10:] = np.nan
    to = np.zeros((4 * ROWS, COLUMNS), np.float32)
    product(samples, in_panels(torch.from_numpy(weight)).numpy(), 10, to)
    np.testing.assert_allclose(to[:10], samples[:10] @ weight, atol=1e-5)
    assert not to[2 * ROWS :].any()


@pytest.mark.parametrize("change", [lambda x: x.astype(np.float64), np.asfortranarray])
def test_what_is_not_contiguous_float32_is_refused(change):
    """It would be read as if it were."""
    samples, panels, to = (np.zeros(size, np.float32) for size in ((ROWS, 8), (1, 8 * COLUMNS), (ROWS, COLUMNS)))
    with pytest.raises(numba.TypingError):
        product(change(samples), panels, ROWS, to)
