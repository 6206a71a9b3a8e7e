import numpy as np
import pytest
from skimage import data

from lincfa.cfa import RGGB, XTRANS
from lincfa.color import srgb_to_linear
from lincfa.noise import Noise, estimate_noise
from lincfa.rawwriter import expose

BLACK, WHITE = 1024, 16383


def exposed(scene, cfa, read, shot):
    adu = expose(scene, cfa, read_noise=read, shot_noise=shot, rng=np.random.default_rng(0))
    return ((adu - float(BLACK)) / (WHITE - BLACK)).astype(np.float32)


@pytest.mark.parametrize("cfa", [XTRANS.shift(1, 2), RGGB.shift(0, 1)], ids=lambda c: c.family)
@pytest.mark.parametrize(("read", "shot"), [(0.002, 0.0004), (0.01, 0.003), (0.0005, 0.00005)])
def test_noise_that_was_put_in_is_found(cfa, read, shot):
    """A ramp over ten stops, a part of it clipped. Within 10 %, since the flattest blocks are chosen."""
    x = np.geomspace(0.0013, 1.3, 960)
    scene = np.broadcast_to(x[:, None], (480, 960, 3))
    noise, true = estimate_noise(exposed(scene, cfa, read, shot), cfa), Noise(read, shot)
    for level in (0.0, 0.18, 0.6):
        assert noise.deviation(level) == pytest.approx(true.deviation(level), rel=0.1)


def test_the_detail_of_a_photograph_is_not_taken_for_noise():
    """Three times the noise that is there would be the estimate from all blocks alike."""
    photo = srgb_to_linear(data.astronaut() / 255)
    found = estimate_noise(exposed(photo, XTRANS, 0.004, 0.0008), XTRANS)
    assert found.deviation(0.18) == pytest.approx(Noise(0.004, 0.0008).deviation(0.18), rel=0.3)


def test_a_frame_without_noise_has_next_to_none():
    ramp = np.broadcast_to(np.linspace(0.1, 0.6, 480)[:, None], (480, 480, 3))
    assert estimate_noise(exposed(ramp, XTRANS, 0, 0), XTRANS).deviation(0.18) < 1 / (WHITE - BLACK)


@pytest.mark.parametrize("frame", [np.full((96, 96), 0.2), np.ones((480, 480))], ids=["small", "clipped"])
def test_a_frame_that_cannot_tell_says_nothing(frame):
    assert estimate_noise(frame.astype(np.float32), XTRANS) is None
