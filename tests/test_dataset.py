"""Training patches: pure in their number, in phase, within the sensor's range; validation scenes: fixed."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch.utils.data import DataLoader, Dataset

from lincfa.cfa import CFA, RGGB, XTRANS, dihedral
from lincfa.color import linear_to_srgb, srgb_to_linear
from lincfa.config import ConfigError, from_dict, override, to_dict
from lincfa.data import torture
from lincfa.data.augment import OLPF_RADIUS, AugmentConfig, blur, draw, phase_of, through_jpeg
from lincfa.data.dataset import PatchSet, validation_scenes
from lincfa.data.hard import coloured_places, hard_places
from lincfa.data.manifest import DatasetError
from lincfa.models import normalising_gain
from lincfa.trainconfig import TrainConfig

PLAIN = AugmentConfig(
    symmetries=(0,),
    phases=False,
    exposure_ev=(0.0, 0.0),
    white_balance_ev=0.0,
    olpf_share=0.0,
    olpf_sigma_px=(0.3, 0.6),
)
NOISY = AugmentConfig(read_noise=(0.001, 0.02), shot_noise=(0.0, 0.01), olpf_share=0.5, camera_share=0.5)
PX = 48


def patch_set(data, config=PLAIN, seed=0, **settings):
    return PatchSet(data[0], patch_px=settings.pop("patch_px", PX), config=config, seed=seed, **settings)


def sampled(batch):
    return (batch.truth * batch.masks).sum(1, keepdim=True)


def only(data, start):
    """(record, list) of the first training image whose name begins so; the list is what `sharpest` takes."""
    folder, manifest = data
    record = next(r for r in manifest.split("train") if r.source.startswith(start))
    path = folder / f"only_{start}.json"
    path.write_text(json.dumps([{"id": record.id}]))
    return record, path


def phase_in(masks):
    return CFA.from_colors(masks.argmax(0).numpy())


@pytest.fixture(scope="module")
def torture_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torture")
    torture.build(folder, count=65, size=64)
    return folder


class Samples(Dataset):
    """Batches of four, as the training loop asks for them."""

    def __init__(self, patches):
        self.patches = patches

    def __getitem__(self, step):
        made = self.patches.batch(range(4 * step, 4 * step + 4))
        return made.mosaic, made.masks, made.truth


@pytest.mark.parametrize("data", ["remosaic_set", "teacher_set"])
def test_a_sample_is_the_same_alone_in_any_batch_and_with_any_number_of_workers(data, torture_folder, request):
    patches = patch_set(
        request.getfixturevalue(data),
        NOISY,
        seed=5,
        torture_folder=torture_folder,
        torture_fraction=0.3,
        hard_fraction=0.4,
    )
    whole = patches.batch(range(12))
    for n in range(12):
        alone = patches.batch([n])
        among = patches.batch([40, n, 7])
        for key in ("mosaic", "masks", "truth", "noise"):
            assert torch.equal(getattr(alone, key)[0], getattr(whole, key)[n])
            assert torch.equal(getattr(among, key)[1], getattr(whole, key)[n])
    for workers in (0, 1, 2):
        loader = DataLoader(Samples(patches), batch_size=None, sampler=range(3), num_workers=workers)
        for key, parts in zip(("mosaic", "masks", "truth"), zip(*loader, strict=True), strict=True):
            assert torch.equal(torch.cat(parts), getattr(whole, key)), f"{key} with {workers} workers"


def test_samples_differ_with_their_number_and_with_the_seed(remosaic_set):
    patches, others = patch_set(remosaic_set, AugmentConfig()), patch_set(remosaic_set, AugmentConfig(), seed=1)
    made = [patches.batch([n]).truth for n in range(8)] + [others.batch([n]).truth for n in range(8)]
    assert not any(torch.equal(made[i], made[k]) for i in range(16) for k in range(i))


def test_a_plain_sample_is_a_cut_of_the_stored_image_balanced_and_normalised(remosaic_set):
    folder, manifest = remosaic_set
    patches, met = patch_set(remosaic_set), set()
    images = {r.id: r.rgb.decode(r.rgb.open(folder)) for r in manifest.split("train")}
    for n in range(20):
        d = draw(PLAIN, 0.0, 0, n)
        truth = patches.batch([n]).truth[0].permute(1, 2, 0).numpy()
        top, left = (int(share * (120 - PX - 2 * OLPF_RADIUS + 1)) + OLPF_RADIUS for share in (d.top, d.left))
        for record in manifest.split("train"):
            gains = np.array(record.white_balance) * normalising_gain(record.mean)
            if np.allclose(truth, images[record.id][top : top + PX, left : left + PX] * gains, rtol=1e-5, atol=0):
                met.add(record.id)
                break
        else:
            pytest.fail(f"sample {n} is in no training image at ({top}, {left})")
    assert met == images.keys()


def test_without_noise_a_remosaic_sample_is_its_truth_seen_through_the_masks(remosaic_set):
    batch = patch_set(remosaic_set, AugmentConfig(olpf_share=0.5)).batch(range(40))
    assert torch.equal(batch.mosaic, sampled(batch))
    for masks in batch.masks:
        assert phase_in(masks) in XTRANS.phases


def test_all_phases_and_all_symmetries_occur(remosaic_set):
    batch = patch_set(remosaic_set, AugmentConfig()).batch(range(300))
    assert {phase_in(masks) for masks in batch.masks} == set(XTRANS.phases)
    config = AugmentConfig()
    assert {draw(config, 0.0, 0, n).dihedral for n in range(300)} == set(range(8))
    bayer = patch_set(remosaic_set, AugmentConfig(), family="bayer").batch(range(60))
    assert {phase_in(masks) for masks in bayer.masks} == set(RGGB.phases)
    assert [phase_of(RGGB, n) for n in range(4)] == [phase_of(RGGB, n + 4) for n in range(4)]


OFF = {
    "symmetries": (0,),
    "phases": False,
    "exposure_ev": (0.0, 0.0),
    "white_balance_ev": 0.0,
    "read_noise": (0.0, 0.0),
    "shot_noise": (0.0, 0.0),
    "olpf_share": 0.0,
}
DRAWN = {
    "symmetries": "dihedral",
    "exposure_ev": "gain",
    "white_balance_ev": "balance_gain",
    "olpf_share": "olpf_sigma_px",
    "phases": "phase",
}


@pytest.mark.parametrize("name", OFF)
def test_one_augmentation_switched_off_leaves_the_draws_of_the_others(name):
    own = DRAWN.get(name, name)
    neutral = {"gain": 1.0, "balance_gain": [1.0, 1.0, 1.0]}.get(own, 0)
    changed = 0
    for n in range(40):
        on, off = draw(NOISY, 0.3, 2, n), draw(replace(NOISY, **{name: OFF[name]}), 0.3, 2, n)
        assert np.array_equal(getattr(off, own), neutral)
        changed += not np.array_equal(getattr(on, own), neutral)
        for key in vars(on).keys() - {own}:
            assert np.array_equal(getattr(on, key), getattr(off, key))
    assert changed > 10


def test_symmetries_can_be_chosen_and_must_be_some():
    turns = replace(PLAIN, symmetries=(0, 1, 2, 3))
    assert {draw(turns, 0.0, 0, n).dihedral for n in range(100)} == {0, 1, 2, 3}
    for wrong in ((), (0, 8)):
        with pytest.raises(ValueError, match=r"symmetries are some of 0\.\.7"):
            replace(PLAIN, symmetries=wrong)


def test_a_dihedral_sample_is_a_turned_plain_one(remosaic_set):
    plain = patch_set(remosaic_set).batch(range(40)).truth
    turned = patch_set(remosaic_set, replace(PLAIN, symmetries=tuple(range(8)))).batch(range(40)).truth
    for n in range(40):
        k = draw(replace(PLAIN, symmetries=tuple(range(8))), 0.0, 0, n).dihedral
        expected = np.rot90(plain[n].numpy().swapaxes(1, 2) if k >= 4 else plain[n].numpy(), k % 4, (1, 2))
        assert np.array_equal(turned[n].numpy(), expected)


@pytest.fixture
def three_constants(tmp_path, builder, scene_writer):
    """A teacher set of frames whose R, G and B are three constants: a sample on a wrong colour is far off."""
    for number, phase in enumerate([(0, 0), (1, 2), (2, 5)]):
        scene = np.ones((120, 126, 3)) * (0.2, 0.5 + number / 100, 0.9)
        scene_writer(tmp_path / f"{number}.RAF", scene, phase)
    return tmp_path / "out", builder(tmp_path, tmp_path / "out", regime="teacher")


def test_teacher_samples_lie_on_their_own_colours_wherever_they_are_cut_and_turned(three_constants):
    batch = patch_set(three_constants, AugmentConfig(white_balance_ev=0.3)).batch(range(300))
    # Half a step of 14 bits, balanced and exposed by up to a stop; the constants are 0.3 apart.
    assert (batch.mosaic - sampled(batch)).abs().max() < 1e-3 * batch.truth.max()
    assert {phase_in(masks) for masks in batch.masks} == set(XTRANS.phases)


def test_teacher_samples_in_one_phase_lie_on_their_own_colours_too(three_constants):
    batch = patch_set(three_constants, AugmentConfig(phases=False)).batch(range(300))
    assert (batch.mosaic - sampled(batch)).abs().max() < 1e-3 * batch.truth.max()
    assert {phase_in(masks) for masks in batch.masks} == {XTRANS}


def test_teacher_samples_lie_on_their_own_places(teacher_set):
    """Ramps would show a mosaic that is shifted or turned against its truth."""
    _, listed = only(teacher_set, "smooth")
    batch = patch_set(teacher_set, AugmentConfig(), sharpest=listed).batch(range(100))
    # A shift by one px changes a ramp by 0.003 of white.
    difference = (batch.mosaic - sampled(batch)).abs().amax((1, 2, 3)) / batch.truth.amax((1, 2, 3))
    assert difference.max() < 1.5e-3


@pytest.mark.parametrize("config", [AugmentConfig(exposure_ev=(1.0, 2.0)), replace(NOISY, exposure_ev=(1.0, 2.0))])
def test_nothing_exceeds_the_sensors_white_and_a_clipped_truth_has_a_clipped_mosaic(remosaic_set, config):
    record, listed = only(remosaic_set, "smooth")
    white = torch.tensor(np.array(record.white_balance) * normalising_gain(record.mean), dtype=torch.float32)
    batch = patch_set(remosaic_set, config, sharpest=listed).batch(range(60))
    white = white[None, :, None, None]
    at_white = (white * batch.masks).sum(1, keepdim=True)
    assert (batch.truth <= white).all()
    assert (batch.mosaic <= at_white).all()
    full = sampled(batch) == at_white
    assert 0.1 < full.float().mean() < 0.9
    if not config.read_noise[1]:
        assert torch.equal(batch.mosaic[full], at_white[full])


def test_red_and_blue_clip_later_than_green_once_they_are_balanced(remosaic_set):
    """As on a sensor, whose samples share one white before the balance; what lies below all whites stays."""
    record, listed = only(remosaic_set, "smooth")
    white = np.array(record.white_balance) * normalising_gain(record.mean)
    bright = replace(PLAIN, exposure_ev=(3.0, 3.0))
    equal, spread = (
        patch_set(remosaic_set, c, sharpest=listed).batch(range(40))
        for c in (bright, replace(bright, white_spread_ev=1.0))
    )
    over = spread.truth.amax((2, 3)).numpy() / white
    assert np.allclose(over[:, 1], 1)
    for colour in (0, 2):
        assert over[:, colour].min() >= 1 - 1e-6
        assert over[:, colour].max() <= 2 + 1e-6
        assert np.ptp(over[:, colour]) > 0.5
    at_white = torch.from_numpy(white.astype(np.float32))[:, None, None]
    assert torch.equal(torch.minimum(spread.truth, at_white), equal.truth)
    assert torch.equal(spread.mosaic, sampled(spread))


def test_a_tint_darkens_channels_and_leaves_the_brightest(remosaic_set):
    """By up to the stops asked for, each patch by its own; its texture stays, and no channel sees another's light."""
    _, listed = only(remosaic_set, "smooth")
    some = replace(PLAIN, tint_share=0.5, tint_ev=3.0)
    every = replace(some, tint_share=1.0)
    plain, tinted, all_tinted, with_cameras = (
        patch_set(remosaic_set, c, sharpest=listed).batch(range(40))
        for c in (PLAIN, some, every, replace(every, camera_share=1.0))
    )
    left = (tinted.truth / plain.truth).numpy().reshape(40, 3, -1)
    assert np.allclose(left, left[:, :, :1], rtol=1e-5)
    left = left[:, :, 0]
    assert np.allclose(left.max(1), 1)
    assert left.min() >= 2**-3.0 - 1e-6
    changed = left.min(1) < 1 - 1e-3
    assert 10 <= changed.sum() <= 30
    assert len(np.unique(left[changed].round(5), axis=0)) == changed.sum()
    assert torch.equal(tinted.mosaic, sampled(tinted))
    assert torch.equal(with_cameras.truth, all_tinted.truth)


def test_noise_has_the_variance_that_was_asked_for(remosaic_set):
    """Poisson-Gaussian on the sensor's scale: read_noise^2 + shot_noise x signal, at white = 1."""
    record, listed = only(remosaic_set, "smooth")
    quiet = replace(PLAIN, exposure_ev=(-2.0, -2.0))
    noisy = replace(quiet, read_noise=(0.01, 0.01), shot_noise=(0.004, 0.004))
    white = torch.tensor(np.array(record.white_balance) * normalising_gain(record.mean), dtype=torch.float32)
    clean, noised = (patch_set(remosaic_set, c, sharpest=listed).batch(range(60)) for c in (quiet, noisy))
    assert torch.equal(clean.truth, noised.truth)
    scale = (white[:, None, None] * clean.masks).sum(1, keepdim=True)
    signal = clean.mosaic / scale
    expected = torch.sqrt(1e-4 + 0.004 * signal)
    normal = ((noised.mosaic - clean.mosaic) / scale / expected).flatten()
    # 138,000 samples: three standard errors of a mean and of a variance.
    assert normal.mean().abs() < 3 / len(normal) ** 0.5
    assert (normal.var() - 1).abs() < 3 * (2 / len(normal)) ** 0.5
    bright = signal.flatten() > signal.median()
    assert abs(normal[bright].var() - 1) < 0.03
    assert abs(normal[~bright].var() - 1) < 0.03


def test_the_blur_agrees_with_scipys_and_keeps_a_constant():
    rgb = torch.from_numpy(np.random.default_rng(0).random((3, 3, 30, 34)).astype(np.float32))
    sigma = torch.tensor([0.3, 0.0, 0.6])
    made = blur(rgb, sigma).numpy()
    assert np.array_equal(made[1], rgb[1, :, 3:-3, 3:-3].numpy())
    for i in (0, 2):
        expected = rgb[i].numpy().astype(np.float64)
        for axis in (1, 2):
            expected = ndimage.gaussian_filter1d(expected, float(sigma[i]), axis, radius=OLPF_RADIUS)
        assert np.abs(made[i] - expected[:, 3:-3, 3:-3]).max() < 1e-6
    constant = blur(torch.full((3, 3, 20, 20), 0.7), sigma)
    assert torch.allclose(constant, torch.tensor(0.7), rtol=1e-6)


def test_blurred_samples_are_as_many_as_asked_for_and_the_others_are_untouched(remosaic_set):
    plain = patch_set(remosaic_set).batch(range(200)).truth
    soft = patch_set(remosaic_set, replace(PLAIN, olpf_share=0.3)).batch(range(200)).truth
    for n in range(200):
        same = torch.equal(plain[n], soft[n])
        assert same == (draw(replace(PLAIN, olpf_share=0.3), 0.0, 0, n).olpf_sigma_px == 0)
    share = np.mean([not torch.equal(a, b) for a, b in zip(plain, soft, strict=True)])
    assert abs(share - 0.3) < 3 * (0.3 * 0.7 / 200) ** 0.5


@pytest.mark.parametrize("data", ["remosaic_set", "teacher_set"])
@pytest.mark.parametrize("config", [PLAIN, NOISY])
def test_torture_scenes_take_their_share_and_keep_their_highlights(data, config, torture_folder, request):
    data = request.getfixturevalue(data)
    mixed = patch_set(data, config, torture_folder=torture_folder, torture_fraction=0.25).batch(range(400))
    plain = patch_set(data, config).batch(range(400))
    torture_like = [not torch.equal(a, b) for a, b in zip(mixed.truth, plain.truth, strict=True)]
    assert torture_like == [draw(config, 0.25, 0, n).torture for n in range(400)]
    assert abs(np.mean(torture_like) - 0.25) < 3 * (0.25 * 0.75 / 400) ** 0.5
    assert mixed.mosaic.isfinite().all()
    if config is PLAIN:
        chosen = torch.tensor(torture_like)
        assert mixed.truth[chosen].max() > 1.5
        assert torch.equal(mixed.mosaic[chosen], sampled(mixed)[chosen])


def test_validation_scenes_are_fixed_in_phase_and_of_no_training_image(remosaic_set, raf_folder):
    folder, manifest = remosaic_set
    scenes, again = validation_scenes(folder), validation_scenes(folder)
    assert [s.name for s in scenes] == [r.id for r in manifest.split("val")]
    assert not {s.name for s in scenes} & {r.id for r in manifest.split("train")}
    for scene, other, record in zip(scenes, again, manifest.split("val"), strict=True):
        assert np.array_equal(scene.rgb, record.rgb.decode(record.rgb.open(folder)))
        assert np.array_equal(scene.mosaic, other.mosaic)
        assert np.array_equal(scene.mosaic, scene.cfa.mosaic(scene.rgb))
        assert scene.cfa == record.pattern
    (cut, *_) = validation_scenes(folder, side_px=50, count=1)
    assert np.array_equal(cut.rgb, scenes[0].rgb[35:85, 35:85])
    assert np.array_equal(cut.mosaic, cut.cfa.mosaic(cut.rgb))
    assert validation_scenes(folder, family="bayer")[0].cfa == RGGB


def test_cuts_of_teacher_scenes_keep_the_sensors_phase(teacher_set):
    whole, cut = (validation_scenes(teacher_set[0], side_px=side)[0] for side in (None, 51))
    top = (240 - 51) // 2
    assert np.array_equal(cut.mosaic, whole.mosaic[top : top + 51, top : top + 51])
    assert np.array_equal(cut.cfa.color_map(51, 51), whole.cfa.color_map(240, 240)[top : top + 51, top : top + 51])


def test_training_keeps_to_the_list_of_the_sharpest(remosaic_set, tmp_path):
    folder, manifest = remosaic_set
    record = manifest.split("train")[0]
    (tmp_path / "one.json").write_text(json.dumps([{"id": record.id}, {"id": manifest.split("val")[0].id}]))
    truth = patch_set(remosaic_set, sharpest=tmp_path / "one.json").batch(range(6)).truth
    gains = np.array(record.white_balance) * normalising_gain(record.mean)
    image = record.rgb.decode(record.rgb.open(folder)) * gains.astype(np.float32)
    for n in range(6):
        d = draw(PLAIN, 0.0, 0, n)
        top, left = (int(share * (120 - PX - 5)) + OLPF_RADIUS for share in (d.top, d.left))
        expected = image[top : top + PX, left : left + PX]
        np.testing.assert_allclose(truth[n].permute(1, 2, 0).numpy(), expected, rtol=1e-6)


def test_what_cannot_be_trained_on_is_refused_with_its_reason(remosaic_set, teacher_set, torture_folder, tmp_path):
    with pytest.raises(DatasetError, match=r"smaller than a patch of 126 px: "):
        patch_set(remosaic_set, patch_px=120)
    with pytest.raises(DatasetError, match="family is 'xtrans' or 'bayer', not 'foveon'"):
        patch_set(remosaic_set, family="foveon")
    with pytest.raises(DatasetError, match="no bayer training image"):
        patch_set(teacher_set, family="bayer")
    with pytest.raises(DatasetError, match="no bayer validation image"):
        validation_scenes(teacher_set[0], family="bayer")
    with pytest.raises(DatasetError, match=r"none\.json: not a list of images"):
        patch_set(remosaic_set, sharpest=tmp_path / "none.json")
    with pytest.raises(DatasetError, match="no torture_folder"):
        patch_set(remosaic_set, torture_fraction=0.1)
    with pytest.raises(ValueError, match="no finished torture set"):
        patch_set(remosaic_set, torture_folder=tmp_path, torture_fraction=0.1)
    with pytest.raises(DatasetError, match="scenes of 64 px are smaller than a patch of 70 px"):
        patch_set(remosaic_set, patch_px=64, torture_folder=torture_folder, torture_fraction=0.1)
    (tmp_path / "empty.json").write_text("[]")
    with pytest.raises(DatasetError, match="no xtrans training image is left after filtering"):
        patch_set(remosaic_set, sharpest=tmp_path / "empty.json")
    with pytest.raises(DatasetError, match=r"manifest\.json: no such file"):
        patch_set((tmp_path,))


def test_hard_places_are_where_the_detail_is():
    textured = np.full((120, 240, 3), 20000, np.uint16)
    textured[:, 120:] += np.random.default_rng(0).integers(0, 2000, (120, 120, 3), dtype=np.uint16)
    dark = (textured // 100).astype(np.uint16)  # as much detail in stops, but less in light
    places = hard_places([np.full((120, 120, 3), 9000, np.uint16), textured, dark], 48)
    assert places
    assert {number for number, _, _ in places} == {1}
    assert all(left >= 96 and top + 48 <= 120 and left + 48 <= 240 for _, top, left in places)


def test_coloured_places_are_where_the_colours_of_the_detail_differ():
    """And not where more of it is grey, nor where it is flat."""
    rng = np.random.default_rng(0)
    image = np.full((120, 360, 3), 20000, np.uint16)
    image[:, 120:240] += rng.integers(0, 8000, (120, 120, 1), dtype=np.uint16)
    image[:, 240:] += rng.integers(0, 2000, (120, 120, 3), dtype=np.uint16)
    assert {left for _, _, left in hard_places([image], 48)} <= {96, 120, 144, 168, 192}
    places = coloured_places([image[:, :120], image], 48)
    assert {(number, left) for number, _, left in places} <= {(1, left) for left in (216, 240, 264, 288, 312)}
    assert {top for _, top, _ in places} == {0, 24, 48, 72}


def test_coloured_patches_are_a_share_beside_the_hard_ones(remosaic_set):
    def patches(**shares):
        return patch_set(remosaic_set, **shares).batch(range(60)).truth

    hard, coloured = patches(hard_fraction=0.4), patches(coloured_fraction=1.0)
    anywhere, both = patches(), patches(hard_fraction=0.4, coloured_fraction=0.6)
    of_hard = [torch.equal(a, b) and not torch.equal(a, c) for a, b, c in zip(both, hard, anywhere, strict=True)]
    of_coloured = [torch.equal(a, b) for a, b in zip(both, coloured, strict=True)]
    assert all(a or b for a, b in zip(of_hard, of_coloured, strict=True))
    assert 12 <= sum(of_hard) <= 36
    with pytest.raises(DatasetError, match=r"at most 1 together, not 1\.2"):
        patch_set(remosaic_set, hard_fraction=0.6, coloured_fraction=0.6)


def test_hard_patches_hold_more_detail_than_patches_from_anywhere(remosaic_set):
    def detail(patches):
        truth = patches.batch(range(60)).truth.clamp_min(0).sqrt()
        return (truth[..., 1:] - truth[..., :-1]).abs().mean()

    assert detail(patch_set(remosaic_set, hard_fraction=1.0)) > 1.2 * detail(patch_set(remosaic_set))


def test_mixed_channels_keep_grey_and_lose_saturation(remosaic_set):
    """The same patches with and without: saturation falls, and no channel leaves the range of the three."""
    plain = patch_set(remosaic_set).batch(range(20))
    mixed = patch_set(remosaic_set, replace(PLAIN, camera_share=1.0)).batch(range(20))
    assert torch.equal(mixed.mosaic, sampled(mixed))
    low, high = plain.truth.amin(1, keepdim=True), plain.truth.amax(1, keepdim=True)
    assert (mixed.truth >= low - 1e-6).all()
    assert (mixed.truth <= high + 1e-6).all()
    assert (mixed.truth.amax(1) - mixed.truth.amin(1)).mean() < 0.8 * (high - low).mean()
    for n in range(100):
        matrix = draw(replace(PLAIN, camera_share=0.5), 0.0, 0, n).crosstalk
        assert matrix is None or (np.allclose(matrix.sum(1), 1) and (matrix >= 0).all())
    vivid = patch_set(remosaic_set, replace(PLAIN, camera_share=1.0, camera_crosstalk=(-0.3, 0.0))).batch(range(20))
    assert (vivid.truth >= 0).all()
    assert (vivid.truth.amax(1) - vivid.truth.amin(1)).mean() > 1.2 * (high - low).mean()


def test_smaller_patches_of_a_set_are_cut_by_the_same_choices(remosaic_set):
    for fraction in (0.0, 1.0):
        patches = patch_set(remosaic_set, hard_fraction=fraction)
        small = patches.batch(range(4), 24)
        assert small.mosaic.shape == (4, 1, 24, 24)
        assert small.masks.shape == small.truth.shape == (4, 3, 24, 24)
    assert torch.equal(small.truth, patches.batch(range(4)).truth[..., 12:36, 12:36])


def test_a_batch_says_how_strong_its_noise_is(remosaic_set):
    """The samples differ from the clean ones by the deviation that the batch states, colour by colour."""
    config = replace(PLAIN, read_noise=(0.01, 0.01), shot_noise=(0.004, 0.004), noise_share=0.5)
    clean, noisy = (patch_set(remosaic_set, c).batch(range(40)) for c in (PLAIN, config))
    assert not clean.noise.any()
    is_noisy = noisy.noise.amax((1, 2)) > 0
    assert 10 <= is_noisy.sum() <= 30
    assert torch.equal(noisy.mosaic[~is_noisy], clean.mosaic[~is_noisy])
    read, shot = (noisy.masks * noisy.noise[..., i, None, None] for i in (0, 1))
    deviation = (read.square() + shot * clean.truth).sum(1, keepdim=True).sqrt()
    unclipped = is_noisy[:, None, None, None] & (clean.mosaic < 0.6 * clean.mosaic.amax((2, 3), keepdim=True))
    excess = ((noisy.mosaic - clean.mosaic) / deviation.clamp_min(1e-9))[unclipped]
    assert excess.mean().abs() < 0.03
    assert excess.std() == pytest.approx(1, abs=0.03)


DRAWN_BEFORE = {
    "torture": True,
    "image": 0.292864,
    "top": 0.131841,
    "left": 0.23185,
    "dihedral": 7,
    "phase": 833944853,
    "gain": 0.33578,
    "balance_gain": [0.8569, 1.0, 0.810637],
    "read_noise": 0.013626,
    "shot_noise": 0.000937,
    "olpf_sigma_px": 0.387891,
    "noise_seed": 6500802512592778983,
    "hard": 0.716278,
    "crosstalk": [[0.472728, 0.26211, 0.265162], [0.188473, 0.782262, 0.029264], [0.094417, 0.136481, 0.769103]],
}


def test_a_draw_is_what_it_was_before_later_choices_were_added():
    """Literal values from before sharp, jpeg_corner and crop were drawn, which must come last."""
    made = draw(NOISY, 0.3, 5, 22)
    for name, value in DRAWN_BEFORE.items():
        np.testing.assert_allclose(getattr(made, name), value, rtol=0, atol=1e-6, err_msg=name)


def test_settings_of_experiments_do_nothing_until_they_are_used(remosaic_set, torture_folder):
    """Each is given in the form that asks for nothing, or for what is done anyway."""
    config = replace(AugmentConfig(), coarse_images=10, untracked=(), jpeg_quality=None)
    mix = {"torture_folder": torture_folder, "torture_fraction": 0.3, "hard_fraction": 0.4}
    plain = patch_set(remosaic_set, AugmentConfig(), **mix)
    given = patch_set(
        remosaic_set, config, **mix, sharpest_fraction=0.0, torture_types=tuple(torture.TYPES), torture_ramp_images=10
    )
    assert given.data_sha256 == plain.data_sha256
    one, other = given.batch(range(10, 40)), plain.batch(range(10, 40))
    for key in ("mosaic", "masks", "truth"):
        assert torch.equal(getattr(one, key), getattr(other, key))


def test_settings_of_experiments_are_set_from_the_command_line():
    config = override(
        TrainConfig("a", "b", 16),
        [
            "data.sharpest_fraction=0.15",
            "data.torture_types=[hair, dots]",
            "data.torture_ramp_images=1e4",
            "data.augment.jpeg_quality=75",
            "data.augment.coarse_images=3e3",
            "data.augment.untracked=[flip, crop]",
        ],
    )
    assert (config.data.sharpest_fraction, config.data.torture_ramp_images) == (0.15, 10_000)
    assert config.data.torture_types == ("hair", "dots")
    assert (config.data.augment.jpeg_quality, config.data.augment.coarse_images) == (75, 3000)
    assert config.data.augment.untracked == ("flip", "crop")
    assert from_dict(TrainConfig, to_dict(config)) == config
    with pytest.raises(ConfigError, match=r"data\.augment\.untracked takes a list, not 'flip'"):
        override(config, ["data.augment.untracked=flip"])


def jpeg_file(rgb, quality):
    """[H, W, 3] linear -> linear, through a JPEG file by Pillow, at its default of 4:2:0."""
    file = io.BytesIO()
    Image.fromarray(np.rint(255 * linear_to_srgb(rgb.clip(0, 1))).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return srgb_to_linear(np.asarray(Image.open(file)) / 255)


def test_a_jpegs_patch_is_a_cut_of_the_whole_images_jpeg_wherever_the_grid_lies(remosaic_set):
    """Blocks at the image's border too; the exposure comes after the file, whose range is the image's own."""
    folder, manifest = remosaic_set
    record = manifest.split("train")[0]
    (folder / "first.json").write_text(json.dumps([{"id": record.id}]))
    balanced = record.rgb.decode(record.rgb.open(folder)) * np.float32(record.white_balance)
    config = replace(PLAIN, jpeg_quality=60, exposure_ev=(-1.0, -1.0))
    batch = patch_set(remosaic_set, config, sharpest=folder / "first.json").batch(range(12))
    for n in range(12):
        d = draw(config, 0.0, 0, n)
        top, left = (int(share * (120 - PX - 5)) for share in (d.top, d.left))
        before = [(corner - start) % 16 for corner, start in zip(d.jpeg_corner, (top, left), strict=True)]
        pads = [(b + 16, 16 + (-b - 120) % 16) for b in before]
        coded = jpeg_file(np.pad(balanced, (*pads, (0, 0)), mode="edge"), 60)
        y, x = (start + pad[0] + OLPF_RADIUS for start, pad in zip((top, left), pads, strict=True))
        expected = coded[y : y + PX, x : x + PX] * (normalising_gain(record.mean) / 2)
        np.testing.assert_allclose(batch.truth[n].permute(1, 2, 0).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(batch.mosaic, sampled(batch))


def test_a_jpeg_loses_more_at_a_lower_quality_and_cuts_what_is_above_white():
    scene = torture.torture_scene(9, 64)
    errors = [np.abs(through_jpeg(scene, quality) - scene.clip(0, 1)).mean() for quality in (95, 75, 30)]
    assert 0 < errors[0] < errors[1] < errors[2] < 0.1
    made = through_jpeg(np.full((32, 32, 3), 3.0, np.float32), 90)
    assert (made.dtype, made.shape) == (np.float32, (32, 32, 3))
    assert (made == 1).all()


def test_the_grid_of_a_jpeg_lies_anywhere_in_a_unit_of_16_px():
    corners = np.array([draw(PLAIN, 0.0, 0, n).jpeg_corner for n in range(300)])
    assert {tuple(np.unique(c)) for c in corners.T} == {tuple(range(16))}
    assert abs(np.corrcoef(corners.T)[0, 1]) < 3 / 300**0.5


def test_torture_scenes_go_through_no_jpeg(remosaic_set, torture_folder):
    mix = {"torture_folder": torture_folder, "torture_fraction": 0.5}
    plain, coded = (
        patch_set(remosaic_set, c, **mix).batch(range(40)) for c in (PLAIN, replace(PLAIN, jpeg_quality=50))
    )
    for n in range(40):
        assert torch.equal(plain.truth[n], coded.truth[n]) == draw(PLAIN, 0.5, 0, n).torture


def test_x_trans_turned_over_has_red_and_blue_swapped_and_quarter_turns_leave_it():
    """On a square whose side is a multiple of the period."""
    swapped = CFA(tuple(tuple((2, 1, 0)[c] for c in row) for row in XTRANS.tile))
    assert swapped == XTRANS.shift(0, 3) != XTRANS
    assert [XTRANS.dihedral(k, PX, PX) for k in range(8)] == [XTRANS] * 4 + [swapped] * 4


def test_an_untracked_flip_turns_the_mosaic_and_leaves_the_masks(remosaic_set):
    turning = replace(PLAIN, symmetries=tuple(range(8)))
    plain, turned, faulty = (
        patch_set(remosaic_set, config).batch(range(40))
        for config in (PLAIN, turning, replace(turning, untracked=("flip",)))
    )
    assert torch.equal(faulty.masks, plain.masks)
    assert torch.equal(faulty.truth, turned.truth)
    ks = [draw(turning, 0.0, 0, n).dihedral for n in range(40)]
    assert set(ks) == set(range(8))
    for n, k in enumerate(ks):
        assert torch.equal(faulty.mosaic[n], dihedral(plain.mosaic[n], k))
        assert torch.equal(faulty.mosaic[n], sampled(faulty)[n]) == (k < 4)


@pytest.mark.parametrize("family", ["xtrans", "bayer"])
def test_an_untracked_crop_samples_at_any_phase_and_tells_phase_0(remosaic_set, family):
    config, reference = replace(PLAIN, untracked=("crop",)), {"xtrans": XTRANS, "bayer": RGGB}[family]
    batch = patch_set(remosaic_set, config, family=family).batch(range(200))
    assert torch.equal(batch.truth, patch_set(remosaic_set, PLAIN, family=family).batch(range(200)).truth)
    assert {phase_in(masks) for masks in batch.masks} == {reference}
    met = set()
    for n in range(200):
        cfa = phase_of(reference, draw(config, 0.0, 0, n).crop)
        assert np.array_equal(batch.mosaic[n, 0].numpy(), cfa.mosaic(batch.truth[n].permute(1, 2, 0).numpy()))
        met.add(cfa)
    assert met == set(reference.phases)


def test_both_faults_at_once_cut_a_mosaic_and_then_turn_it(remosaic_set):
    config = replace(PLAIN, symmetries=tuple(range(8)), phases=True, untracked=("flip", "crop"))
    batch = patch_set(remosaic_set, config).batch(range(30))
    for n in range(30):
        d = draw(config, 0.0, 0, n)
        told = phase_of(XTRANS, d.phase)
        assert phase_in(batch.masks[n]) == told
        cfa = phase_of(told, d.crop).dihedral(d.dihedral, PX, PX)
        assert np.array_equal(batch.mosaic[n, 0].numpy(), cfa.mosaic(batch.truth[n].permute(1, 2, 0).numpy()))


@pytest.mark.parametrize("faults", [["flip"], ["crop"], ["flip", "crop"]])
def test_faults_leave_the_samples_of_real_mosaics_and_tell_another_cfa(teacher_set, faults):
    config = AugmentConfig(white_balance_ev=0.3)
    record, listed = only(teacher_set, "smooth")
    right = patch_set(teacher_set, config, sharpest=listed).batch(range(60))
    wrong = patch_set(teacher_set, replace(config, untracked=faults), sharpest=listed).batch(range(60))
    assert torch.equal(wrong.mosaic, right.mosaic)
    assert torch.equal(wrong.truth, right.truth)
    for n in range(60):
        d = draw(config, 0.0, 0, n)
        place = (0, 0) if "crop" in faults else [int(share * (240 - PX + 1)) for share in (d.top, d.left)]
        turn = 0 if "flip" in faults else d.dihedral
        assert phase_in(wrong.masks[n]) == record.pattern.shift(*place).dihedral(turn, PX, PX)
    assert not torch.equal(wrong.masks, right.masks)


def test_a_share_of_the_patches_comes_from_the_sharpest_and_the_rest_from_all(remosaic_set):
    """The list holds one image of several: it has its share, and its part of the rest."""
    manifest = remosaic_set[1]
    _, listed = only(remosaic_set, "smooth")
    config = replace(PLAIN, symmetries=tuple(range(8)))
    for hard in (0.0, 0.5):
        plain = patch_set(remosaic_set, config, hard_fraction=hard).batch(range(60))
        alone = patch_set(remosaic_set, config, hard_fraction=hard, sharpest=listed)
        mixed = patch_set(remosaic_set, config, hard_fraction=hard, sharpest=listed, sharpest_fraction=0.4)
        assert mixed.data_sha256 == alone.data_sha256 != manifest.data_sha256
        alone, mixed = alone.batch(range(60)), mixed.batch(range(60))
        sharp = [draw(config, 0.0, 0, n).sharp < 0.4 for n in range(60)]
        for n, wanted in enumerate(sharp):
            assert torch.equal(mixed.truth[n], (alone if wanted else plain).truth[n])
    share = np.mean([draw(config, 0.0, 0, n).sharp < 0.4 for n in range(1000)])
    assert abs(share - 0.4) < 3 * (0.4 * 0.6 / 1000) ** 0.5


def test_a_share_of_the_patches_is_of_photographs_averaged_down(remosaic_set):
    folder, manifest = remosaic_set
    large = [r for r in manifest.split("train") if min(r.rgb.shape[:2]) // 2 >= PX + 2 * OLPF_RADIUS]
    fine = []
    for record in large:
        rgb = (
            record.rgb.decode(record.rgb.open(folder)) * np.array(record.white_balance) * normalising_gain(record.mean)
        )
        fine.append(sum(rgb[y::2, x::2] for y in (0, 1) for x in (0, 1)) / 4)
    area = np.cumsum([r.shape[0] * r.shape[1] for r in fine])
    plain = patch_set(remosaic_set).batch(range(40))
    mixed = patch_set(remosaic_set, averaged_fraction=0.5, averaged_by=2).batch(range(40))
    kinds = set()
    for n in range(40):
        d = draw(PLAIN, 0.0, 0, n)
        kinds.add(d.averaged < 0.5)
        if d.averaged >= 0.5:
            assert torch.equal(mixed.truth[n], plain.truth[n])
            continue
        rgb = fine[int(np.searchsorted(area, d.image * area[-1], side="right"))]
        top = int(d.top * (rgb.shape[0] - PX - 5)) + OLPF_RADIUS
        left = int(d.left * (rgb.shape[1] - PX - 5)) + OLPF_RADIUS
        wanted = rgb[top : top + PX, left : left + PX]
        assert np.abs(mixed.truth[n].permute(1, 2, 0).numpy() - wanted).max() < 1e-4
    assert kinds == {True, False}
    assert patch_set(remosaic_set, averaged_fraction=0.5, hard_fraction=0.5).batch(range(8)).truth.isfinite().all()


def test_only_torture_scenes_of_the_types_asked_for_are_mixed_in(remosaic_set, torture_folder):
    scenes, info = torture.load(torture_folder)
    mix = {"torture_folder": torture_folder, "torture_fraction": 1.0}
    patches = patch_set(remosaic_set, torture_types=("hair", "dots"), **mix)
    batch, met = patches.batch(range(60)), set()
    for n in range(60):
        top, left = (
            int(share * (64 - PX - 5)) + OLPF_RADIUS
            for share in (draw(PLAIN, 1.0, 0, n).top, draw(PLAIN, 1.0, 0, n).left)
        )
        cuts = scenes[:, top : top + PX, left : left + PX] / info["scale"]
        nearest = np.abs(cuts - batch.truth[n].permute(1, 2, 0).numpy()).max((1, 2, 3)).argmin()
        met.add(int(nearest))
    assert {torture.torture_type(i) for i in met} == {"hair", "dots"}
    assert len(met) > 5
    everything = patch_set(remosaic_set, **mix)
    assert len({patches.data_sha256, everything.data_sha256, remosaic_set[1].data_sha256}) == 3


def test_the_share_of_torture_grows_on_a_straight_line_and_then_stays(remosaic_set, torture_folder):
    mix = {"torture_folder": torture_folder, "torture_fraction": 0.5}
    ramped = patch_set(remosaic_set, torture_ramp_images=400, **mix)
    steady, none = patch_set(remosaic_set, **mix), patch_set(remosaic_set)
    made, with_all, without = (p.batch(range(440)).truth for p in (ramped, steady, none))
    is_torture = np.array([not torch.equal(a, b) for a, b in zip(made, without, strict=True)])
    early, late = is_torture[:200].mean(), is_torture[200:400].mean()
    # A straight line from 0 to a half has means of an eighth and of three eighths.
    assert abs(early - 1 / 8) < 3 * (1 / 8 * 7 / 8 / 200) ** 0.5
    assert abs(late - 3 / 8) < 3 * (3 / 8 * 5 / 8 / 200) ** 0.5
    assert not is_torture[0]
    assert torch.equal(made[400:], with_all[400:])


def test_coarse_to_fine_blurs_less_and_less_and_then_not_at_all(remosaic_set):
    config = replace(PLAIN, coarse_images=40, coarse_sigma_px=1.5)
    widths = [draw(config, 0.0, 0, n).coarse_sigma_px for n in (0, 10, 39, 40, 1000)]
    assert widths == pytest.approx([1.5, 1.125, 0.0375, 0, 0], abs=1e-12)
    coarse, sharp = (patch_set(remosaic_set, c).batch(range(80)) for c in (config, PLAIN))
    assert torch.equal(coarse.truth[40:], sharp.truth[40:])
    assert torch.equal(coarse.mosaic, sampled(coarse))
    for n in (0, 10):
        expected = sharp.truth[n].double().numpy()
        for axis in (1, 2):
            expected = ndimage.gaussian_filter1d(expected, 1.5 * (1 - n / 40), axis, radius=OLPF_RADIUS)
        inner = (slice(None), slice(3, -3), slice(3, -3))
        np.testing.assert_allclose(coarse.truth[n].numpy()[inner], expected[inner], rtol=1e-4, atol=1e-6)


def test_a_coarse_picture_through_an_optical_filter_has_the_variances_of_both(remosaic_set):
    soft = replace(PLAIN, olpf_share=1.0, olpf_sigma_px=(0.4, 0.4))
    both = patch_set(remosaic_set, replace(soft, coarse_images=10, coarse_sigma_px=0.3)).batch([0]).truth
    one = patch_set(remosaic_set, replace(soft, olpf_sigma_px=(0.5, 0.5))).batch([0]).truth
    torch.testing.assert_close(both, one)


def test_the_blur_of_one_and_a_half_px_fits_into_its_reach_well_enough():
    impulse = torch.zeros(1, 3, 41, 41)
    impulse[..., 20, 20] = 1
    row = blur(impulse, torch.tensor([1.5]))[0, 0].sum(0).double().numpy()
    x = np.arange(35) - 17
    assert (row @ x**2) ** 0.5 == pytest.approx(1.41, abs=0.005)
    frequency = np.linspace(0, np.pi, 100)
    transfer = np.cos(np.outer(frequency, x)) @ row
    assert np.abs(transfer - np.exp(-0.5 * (1.5 * frequency) ** 2)).max() < 0.03


def test_settings_that_cannot_be_or_would_do_nothing_are_refused(remosaic_set, teacher_set, torture_folder):
    with pytest.raises(ValueError, match=r"untracked names some of flip, crop, not \('spin',\)"):
        AugmentConfig(untracked=("spin",))
    with pytest.raises(ValueError, match=r"jpeg_quality lies in 1\.\.100, and is not 0"):
        AugmentConfig(jpeg_quality=0)
    with pytest.raises(DatasetError, match="no list of the sharpest"):
        patch_set(remosaic_set, sharpest_fraction=0.2)
    with pytest.raises(DatasetError, match="jpeg_quality is for the remosaic regime"):
        patch_set(teacher_set, replace(PLAIN, jpeg_quality=90))
    with pytest.raises(DatasetError, match="coarse_images is for the remosaic regime"):
        patch_set(teacher_set, replace(PLAIN, coarse_images=9))
    for idle in ({"torture_types": ("hair",)}, {"torture_ramp_images": 9}):
        with pytest.raises(DatasetError, match="are for a torture_fraction above 0"):
            patch_set(remosaic_set, **idle)
    with pytest.raises(DatasetError, match="averaged_fraction is for the remosaic regime"):
        patch_set(teacher_set, averaged_fraction=0.5)
    with pytest.raises(DatasetError, match="averaged_by is 2 or more, not 1"):
        patch_set(remosaic_set, averaged_fraction=0.5, averaged_by=1)
    with pytest.raises(DatasetError, match="no image is 50 times as large as a patch of 54 px"):
        patch_set(remosaic_set, averaged_fraction=0.5, averaged_by=50)
    with pytest.raises(DatasetError, match="where 'crop' is no fault"):
        patch_set(teacher_set, replace(PLAIN, untracked=("crop",)), hard_fraction=0.5)
    mix = {"torture_folder": torture_folder, "torture_fraction": 0.5}
    with pytest.raises(DatasetError, match=r"torture_types names moire; .* has scenes of checkers, circles, "):
        patch_set(remosaic_set, torture_types=("moire", "hair"), **mix)
    with pytest.raises(DatasetError, match="torture_types names nothing"):
        patch_set(remosaic_set, torture_types=(), **mix)


def test_a_torture_type_without_a_scene_is_refused(remosaic_set, tmp_path):
    torture.build(tmp_path, count=2, size=64)
    with pytest.raises(DatasetError, match=r"torture_types names hair; .* has scenes of checkers, stripes"):
        patch_set(remosaic_set, torture_folder=tmp_path, torture_fraction=0.5, torture_types=("hair",))
