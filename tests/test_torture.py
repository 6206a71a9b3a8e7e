import numpy as np
import pytest

from lincfa.color import linear_to_srgb
from lincfa.data import torture, torture_patterns
from lincfa.data.torture import TYPES, has_highlight, scene_hash, torture_contrast, torture_scene, torture_type

SIZE = 32
ROUNDS = range(15 * len(TYPES))  # every type with every contrast, with and without highlights

# Scenes 0, 14, 28, ... at 32 px and seed 0: one of each type, over all contrasts. A difference means that scenes have
# changed: raise VERSION, then record the new hashes.
GOLDEN = {
    "stripes": "e047e8892532e32c",
    "checkers": "7c0ac50cf9b44640",
    "circles": "de063fdc29680cc1",
    "edges": "a8ec121bd781771c",
    "zone_plate": "5867700076d77d3d",
    "strokes": "226df191b376fba3",
    "star": "48f6467f0d03940d",
    "dots": "3fb6c31003c3dd24",
    "hair": "addcf61e4849a56b",
    "polygons": "04ec8bb061002bba",
    "weave": "9413097fae6e6cf1",
    "julia": "07a75bb3f6056434",
    "perlin": "59c559c18745df13",
}


@pytest.fixture(scope="module")
def scenes():
    return {index: torture_scene(index, SIZE) for index in ROUNDS}


def files(folder):
    return [(folder / name).read_bytes() for name in ("scenes.npy", "torture.json")]


def coverage(scene):
    """The mixture of its two colours that each pixel shows, from 0 to 1 over the scene."""
    channel = scene[..., np.argmax(np.ptp(scene, axis=(0, 1)))].astype(np.float64)
    return (channel - channel.min()) / np.ptp(channel)


def test_a_scene_is_a_pure_function_of_its_index_size_and_seed(scenes):
    for index in range(13):
        assert torture_scene(index, SIZE).tobytes() == scenes[index].tobytes()
    assert scene_hash(torture_scene(0, SIZE, seed=1)) != scene_hash(scenes[0])


def test_no_two_scenes_are_equal(scenes):
    assert len({scene_hash(scene) for scene in scenes.values()}) == len(ROUNDS)


def test_the_thirteen_types_take_turns_and_meet_every_contrast_with_and_without_highlights():
    assert len(set(TYPES)) == 13
    assert TYPES[11:] == ("julia", "perlin")
    met = {(torture_type(index), torture_contrast(index), has_highlight(index)) for index in ROUNDS}
    assert len(met) == 13 * 3 * 2
    assert sum(map(has_highlight, ROUNDS)) == len(ROUNDS) / 5


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_is_float32_between_black_and_white_and_only_highlights_go_up_to_four(kind, scenes):
    of_kind = {index: scene for index, scene in scenes.items() if torture_type(index) == kind}
    assert len(of_kind) == 15
    for index, scene in of_kind.items():
        assert (scene.shape, scene.dtype) == ((SIZE, SIZE, 3), np.float32)
        assert scene.min() >= 0
        assert scene.max() <= (4 if has_highlight(index) else 1)
        assert np.ptp(scene, axis=(0, 1)).max() > 0.01, f"scene {index} is flat"
    assert max(scene.max() for index, scene in of_kind.items() if has_highlight(index)) > 1.5


def test_chroma_scenes_have_one_luminance_and_several_chromaticities(scenes):
    for index in (index for index in ROUNDS if torture_contrast(index) == "chroma"):
        luma = scenes[index].astype(np.float64) @ (0.2126, 0.7152, 0.0722)
        assert np.ptp(luma) <= 1e-6 * luma.max()
        assert np.ptp(scenes[index], axis=(0, 1)).max() > 0.01


def test_luma_scenes_have_one_chromaticity_and_others_have_several(scenes):
    for index in ROUNDS:
        chromaticity = scenes[index] / scenes[index].sum(axis=2, keepdims=True)
        assert (np.ptp(chromaticity, axis=(0, 1)).max() < 1e-5) == (torture_contrast(index) == "luma")


def test_luma_scenes_are_partly_grey(scenes):
    grey = [index for index in ROUNDS if np.ptp(scenes[index], axis=2).max() == 0]
    assert grey
    assert {torture_contrast(index) for index in grey} == {"luma"}


@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind not in ("julia", "perlin")])
def test_pixels_are_the_area_mean_of_a_drawing_without_anti_aliasing(kind, monkeypatch):
    indices = [TYPES.index(kind) + 13 * number for number in range(6)]
    drawn = [torture_scene(index, SIZE) for index in indices]
    monkeypatch.setattr(torture_patterns, "SAMPLES", 24)
    monkeypatch.setattr(torture_patterns, "_step", lambda distance: (distance > 0).astype(float))
    for index, scene in zip(indices, drawn, strict=True):
        exact = torture_scene(index, SIZE)
        error = np.abs(scene - exact).max(axis=2) / np.ptp(exact, axis=(0, 1)).max()
        # Three ramps per pixel stand in for the exact area of curves, corners and the middle of a star.
        assert np.sqrt((error**2).mean()) < 0.02
        assert error.max() < 0.15


def test_the_zone_plate_reaches_nyquist_at_its_far_side_and_still_has_contrast_there():
    assert torture_type(4) == "zone_plate"
    steps = np.diff(coverage(torture_scene(4, 128)), axis=0)  # its centre is at the top
    near, far = steps[:3], steps[-3:]
    assert np.abs(near).mean() < 0.02
    assert np.abs(far).mean() > 0.3
    # At Nyquist each pixel turns back what the one before it did.
    assert (far[1:] * far[:-1] < 0).mean() > 0.95


def test_a_hash_forgives_the_last_bits_and_sees_a_step_of_the_stored_scale(scenes):
    stored = torture.quantize(scenes[0])
    scene = stored / torture.SCALE
    assert scene_hash(scene + 1e-6) == scene_hash(scene) == scene_hash(stored)
    scene[3, 4, 1] += 1 / torture.SCALE
    assert scene_hash(scene) != scene_hash(stored)


def test_scenes_change_only_with_the_version():
    assert torture.VERSION == 2
    found = {torture_type(index): scene_hash(torture_scene(index, SIZE)) for index in range(0, 13 * 14, 14)}
    assert found == GOLDEN


def test_a_set_from_several_processes_is_the_same_bytes_and_gives_back_the_scenes(tmp_path, scenes):
    torture.build(tmp_path / "one", count=30, size=SIZE)
    torture.build(tmp_path / "two", count=30, size=SIZE, jobs=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    stored, info = torture.load(tmp_path / "two")
    assert stored.dtype == np.uint16
    for index in range(30):
        # Half a step of the scale, and the rounding of float32.
        np.testing.assert_allclose(stored[index] / info["scale"], scenes[index], atol=0.5 / 16383 + 1e-6, rtol=0)
        assert info["hashes"][index] == scene_hash(scenes[index])


def test_an_interrupted_build_goes_on_where_it_stopped_and_ends_with_the_same_bytes(tmp_path, monkeypatch):
    torture.build(tmp_path / "whole", count=20, size=SIZE)

    def stop_at_eight(row):
        if row["index"] == 8:
            raise KeyboardInterrupt

    folder = tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt):
        torture.build(folder, count=20, size=SIZE, progress=stop_at_eight)
    with pytest.raises(ValueError, match="no finished torture set"):
        torture.load(folder)
    # The power fails: the log was cut within a line, and one scene it names never reached the disk.
    with (folder / "build.jsonl").open("a") as log:
        log.write('{"index": 9, "ha')
    np.load(folder / "scenes.npy", mmap_mode="r+")[3] = 0

    made, reported = [], []
    original = torture.torture_scene
    monkeypatch.setattr(torture, "torture_scene", lambda index, *rest: made.append(index) or original(index, *rest))
    torture.build(folder, count=20, size=SIZE, progress=lambda row: reported.append(row["index"]))
    assert made == [3, *range(9, 20)]
    assert sorted(reported) == list(range(20))
    assert files(folder) == files(tmp_path / "whole")

    made.clear()
    torture.build(folder, count=20, size=SIZE)
    assert made == []
    assert files(folder) == files(tmp_path / "whole")


@pytest.mark.parametrize("other", [{"count": 4}, {"size": 16}, {"seed": 1}])
def test_a_folder_made_with_other_parameters_is_refused_and_left_as_it_was(tmp_path, other):
    torture.build(tmp_path, count=3, size=SIZE)
    before = files(tmp_path)
    with pytest.raises(ValueError, match="cannot be continued"):
        torture.build(tmp_path, **{"count": 3, "size": SIZE, **other})
    assert files(tmp_path) == before


def test_a_folder_of_another_version_is_neither_continued_nor_loaded(tmp_path, monkeypatch):
    torture.build(tmp_path, count=3, size=SIZE)
    monkeypatch.setattr(torture, "VERSION", 3)
    with pytest.raises(ValueError, match="cannot be continued"):
        torture.build(tmp_path, count=3, size=SIZE)
    with pytest.raises(ValueError, match="has version 2, this program makes version 3"):
        torture.load(tmp_path)


def test_an_array_from_elsewhere_is_not_overwritten(tmp_path):
    np.save(tmp_path / "scenes.npy", np.ones(5))
    with pytest.raises(ValueError, match=r"without the build\.jsonl"):
        torture.build(tmp_path, count=3, size=SIZE)
    np.testing.assert_array_equal(np.load(tmp_path / "scenes.npy"), np.ones(5))


@pytest.mark.parametrize("name", ["scenes.npy", "torture.json"])
@pytest.mark.parametrize("kept", [0, 0.5])
def test_a_truncated_file_is_called_broken(tmp_path, name, kept):
    torture.build(tmp_path, count=3, size=SIZE)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match="is broken"):
        torture.load(tmp_path)


def test_an_array_of_another_shape_than_its_description_is_refused(tmp_path):
    torture.build(tmp_path, count=3, size=SIZE)
    np.save(tmp_path / "scenes.npy", np.zeros((2, SIZE, SIZE, 3), np.uint16))
    with pytest.raises(ValueError, match=r"torture\.json says uint16 \(3, 32, 32, 3\)"):
        torture.load(tmp_path)


def test_the_contact_sheet_shows_the_scenes_srgb_coded_under_their_names():
    indices = [*range(13), 52]
    sheet = torture.contact_sheet(indices, 64)
    assert (sheet.dtype, sheet.ndim) == (np.uint8, 3)
    assert has_highlight(52)
    top = sheet.shape[0] // 2  # the second row begins with scene 52, exposed for its highlight
    scene = torture_scene(52, 64)
    expected = linear_to_srgb(scene / scene.max()) * 255
    np.testing.assert_allclose(sheet[top + 14 : top + 78, :64], expected, atol=0.5 + 1e-3)
    assert (sheet[:14, :64] > 128).any(), "the name is missing"


def test_corners_change_the_colours_of_their_share_of_scenes_and_no_geometry():
    changed = 0
    for index in range(26):
        plain, cornered = torture_scene(index, 32), torture_scene(index, 32, corners=0.5)
        if np.array_equal(plain, cornered):
            continue
        changed += 1
        ends = cornered.reshape(-1, 3)[[cornered.sum(2).argmin(), cornered.sum(2).argmax()]]
        moving = np.ptp(cornered, axis=(0, 1)) > 0
        assert moving.any()
        assert ends.min() >= 0
        assert ends.max() <= 1
        for channel in np.flatnonzero(moving):  # each is the coverage or its complement, as every plain channel is
            wanted = plain[..., np.ptp(plain, axis=(0, 1)).argmax()].ravel()
            assert abs(np.corrcoef(cornered[..., channel].ravel(), wanted)[0, 1]) > 0.9999
    assert 6 <= changed <= 20
