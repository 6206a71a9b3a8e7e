"""Many files: what is written is right, and what goes wrong stays with the file that it went wrong for."""

import errno
import os
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_denoiser import write_denoiser
from tiny_release import write_release

from lincfa import batch, checkpoint, export, released
from lincfa.batch import Engine, run
from lincfa.cfa import CFA, RGGB, XTRANS
from lincfa.checkpoint import CheckpointError
from lincfa.infer import Demosaicer
from lincfa.noise import estimate_noise
from lincfa.plan import find_sources, plan
from lincfa.raw import read_raw
from lincfa.rawwriter import expose, write_dng, write_raf

SHAPE = (96, 120)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with two tiny released models and no others."""
    monkeypatch.chdir(tmp_path)
    for module in (released, checkpoint):
        monkeypatch.setattr(module, "model_places", lambda root=None: [tmp_path / "models"])
    write_release(tmp_path, "tiny", "xtrans", gmac=1)
    write_release(tmp_path, "larger", "xtrans", gmac=2)
    return tmp_path


def scene():
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] / 120
    return np.stack([0.1 + 0.5 * x, 0.2 + 0.6 * y, 0.8 - 0.5 * x * y], -1)


def write_rafs(folder, count):
    folder.mkdir(exist_ok=True)
    for i, cfa in zip(range(count), [*XTRANS.phases] * 2, strict=False):
        write_raf(folder / f"{i:02d}.RAF", expose(scene(), cfa), cfa)


def jobs_of(*names, output="out"):
    sources, complaints = find_sources(names)
    assert complaints == []
    return plan(sources, output, ".npy")


def outcomes(results):
    return {result.job.source.name: result.outcome for result in results}


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_phase_gain_and_black_level_gives_the_scene(folder):
    """LibRaw's bilinear is within 1 % on ramps, so the truth is known without a trained network."""
    for i, cfa in enumerate(XTRANS.phases):
        gains, black = np.array([0.4 + 0.02 * i, 1.0, 0.8 - 0.02 * i]), (1000, 1024 + 8 * i, 1100)
        adu = expose(scene(), cfa, gains=gains, black=black)
        write_raf(folder / f"{i:02d}.RAF", adu, cfa, black=black, white_balance=1 / gains)
    results = list(run(jobs_of("."), Engine("bilinear"), format="npy"))
    assert set(outcomes(results).values()) == {"written"}
    assert len(results) == 18
    for i in range(18):
        rgb, gains = np.load(f"out/{i:02d}.npy"), np.array([0.4 + 0.02 * i, 1.0, 0.8 - 0.02 * i])
        assert np.abs(rgb - scene() * gains)[8:-8, 8:-8].max() < 0.01
        assert np.median(np.abs(rgb - scene() * gains)) < 1e-4


def test_a_result_is_what_the_demosaicer_gives_to_the_last_bit(folder):
    cfa = XTRANS.shift(1, 4)
    write_raf("a.RAF", expose(scene(), cfa, gains=(0.5, 1, 0.6)), cfa, white_balance=(2, 1, 1 / 0.6))
    (result,) = run(jobs_of("a.RAF"), Engine(), format="npy")
    frame = read_raw("a.RAF")
    rgb = Demosaicer.released("tiny")(frame.mosaic, frame.cfa, frame.white_balance)
    np.testing.assert_array_equal(np.load("out/a.npy"), rgb)
    assert np.load("out/a.npy").dtype == np.float32
    for fact in ("a.RAF", "FUJIFILM X-T2", "0.0 MP", "tiny", " s ", os.path.join("out", "a.npy")):
        assert fact in result.text


def test_a_mosaic_takes_no_memory_while_its_result_is_written(folder, monkeypatch):
    write_rafs(folder / "in", 1)
    mosaics, write = [], export.write

    def noted(path, rgb, frame, **options):
        assert [mosaic() for mosaic in mosaics] == [None]
        write(path, rgb, frame, **options)

    monkeypatch.setattr(export, "write", noted)
    engine = Watched(lambda frame: mosaics.append(weakref.ref(frame.mosaic)))
    assert set(outcomes(run(jobs_of("in"), engine, format="npy")).values()) == {"written"}


def test_twenty_files_with_three_bad_ones_finish_seventeen_and_a_second_run_does_nothing(folder):
    write_rafs(folder / "in", 20)
    bad = {"03.RAF": b"", "11.RAF": b"no raw file" * 100, "17.RAF": (folder / "in/17.RAF").read_bytes()[:-9000]}
    for name, content in bad.items():
        (folder / "in" / name).write_bytes(content)
    first = list(run(jobs_of("in"), Engine(), format="npy", threads=3))
    assert {name for name, outcome in outcomes(first).items() if outcome == "failed"} == bad.keys()
    reasons = {r.job.source.name: r.text for r in first if r.outcome == "failed"}
    assert reasons["03.RAF"] == f"{os.path.join('in', '03.RAF')}: empty file (0 bytes)"
    assert "11.RAF: not a raw file" in reasons["11.RAF"]
    assert "17.RAF: truncated or broken" in reasons["17.RAF"]
    assert len(files(folder / "out")) == 17
    before = {path: path.stat().st_mtime_ns for path in (folder / "out").iterdir()}

    second = list(run(jobs_of("in"), Engine(), format="npy"))
    assert sorted(outcomes(second).values()) == ["failed"] * 3 + ["skipped"] * 17
    assert {path: path.stat().st_mtime_ns for path in (folder / "out").iterdir()} == before
    third = list(run(jobs_of("in"), Engine(), format="npy", overwrite=True))
    assert sorted(outcomes(third).values()) == ["failed"] * 3 + ["written"] * 17


@pytest.mark.parametrize(
    ("model", "device", "cores", "files"), [("auto", "cpu", 2, 1), ("auto", "cpu", 4, 2), ("bilinear", "cpu", 2, 2)]
)
def test_files_overlap_unless_the_network_has_all_of_few_cores(folder, monkeypatch, model, device, cores, files):
    monkeypatch.setattr(batch.torch, "get_num_threads", lambda: cores)
    engine = Engine(model, device=device)
    assert engine.files_at_a_time == files
    engine.device = "cuda"
    assert engine.files_at_a_time == 2


class Watched(Engine):
    """Counts the threads that are in the network, and waits in it for what a test wants to happen meanwhile."""

    def __init__(self, meanwhile=lambda frame: None):
        super().__init__()
        self.inside, self.most, self.meanwhile = 0, 0, meanwhile

    def __call__(self, frame, noise, progress):
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.meanwhile(frame)
        result = super().__call__(frame, noise, progress)
        self.inside -= 1
        return result


def test_the_next_file_is_decoded_while_the_network_works_which_one_thread_has_at_a_time(folder, monkeypatch):
    write_rafs(folder / "in", 4)
    decoded, two, overlapped = [], threading.Event(), []

    def decode(path):
        frame = read_raw(path)
        decoded.append(path)
        if len(decoded) == 2:
            two.set()
        return frame

    monkeypatch.setattr(batch, "read_raw", decode)
    engine = Watched(lambda frame: overlapped.append(two.wait(10)))
    results = list(run(jobs_of("in"), engine, format="npy", threads=2))
    assert set(outcomes(results).values()) == {"written"}
    assert overlapped == [True] * 4  # the first network call ended only after the second file was decoded
    assert engine.most == 1


def test_a_file_is_written_while_the_network_works_on_the_next(folder, monkeypatch):
    write_rafs(folder / "in", 2)
    second_inside, write = threading.Event(), export.write

    def slow_write(path, *args, **kwargs):
        assert second_inside.wait(10)
        write(path, *args, **kwargs)

    monkeypatch.setattr(export, "write", slow_write)
    calls = []

    def meanwhile(frame):
        calls.append(frame)
        if len(calls) == 2:
            second_inside.set()

    results = list(run(jobs_of("in"), Watched(meanwhile), format="npy", threads=2))
    assert set(outcomes(results).values()) == {"written"}


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_files_are_in_work_than_threads(folder, monkeypatch, threads):
    write_rafs(folder / "in", 8)
    lock, in_work, most, write = threading.Lock(), set(), [], export.write

    def decode(path):
        with lock:
            in_work.add(path)
            most.append(len(in_work))
        return read_raw(path)

    def write_and_forget(path, rgb, frame, **kwargs):
        write(path, rgb, frame, **kwargs)
        with lock:
            in_work.remove(frame.path)

    monkeypatch.setattr(batch, "read_raw", decode)
    monkeypatch.setattr(export, "write", write_and_forget)
    assert len(list(run(jobs_of("in"), Engine(), format="npy", threads=threads))) == 8
    assert max(most) <= threads


def test_a_full_disk_fails_the_file_by_name_and_leaves_no_part_of_it(folder):
    """A limit on the size of files stands in for the disk: the write itself fails, half-way."""
    resource = pytest.importorskip("resource", reason="limits are Unix's")
    write_rafs(folder / "in", 2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        results = list(run(jobs_of("in"), Engine(), format="npy"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert set(outcomes(results).values()) == {"failed"}
    for result in results:
        assert f"{result.job.source}: cannot write {result.job.target} (" in result.text
    assert files(folder / "out") == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_photograph_of_the_same_name_is_never_taken_for_the_one_that_was_developed_before(folder, overwrite):
    """From two cards, in two runs; the second run of the first is skipped as ever."""
    for name, level in (("1", 0.2), ("2", 0.4)):
        (folder / name).mkdir()
        write_raf(folder / name / "a.RAF", expose(np.full((*SHAPE, 3), level), XTRANS), XTRANS)
    sources = [[folder / name / "a.RAF"] for name in ("1", "2")]
    first, second = (plan(source, "out", ".dng") for source in sources)
    engine = Engine("bilinear")
    assert [r.outcome for r in run(first, engine)] == ["written"]
    before = (folder / "out" / "a.dng").read_bytes()
    (result,) = run(second, engine, overwrite=overwrite)
    assert result.outcome == "failed"
    assert f"{os.path.join('2', 'a.RAF')}: {os.path.join('out', 'a.dng')} is there, made from another" in result.text
    assert (folder / "out" / "a.dng").read_bytes() == before
    assert [r.outcome for r in run(first, engine, overwrite=overwrite)] == ["written" if overwrite else "skipped"]


def test_a_format_that_does_not_say_its_source_is_skipped_with_that_doubt(folder):
    write_rafs(folder / "in", 1)
    for _ in range(2):
        (result,) = run(jobs_of("in"), Engine("bilinear"), format="npy")
    assert "is there, from this file or another of its name (--overwrite writes it again)" in result.text


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_cameras_dng_where_a_result_would_go_is_kept_and_the_file_fails(folder, overwrite):
    write_rafs(folder / "in", 1)
    (folder / "out").mkdir()
    write_dng("out/00.dng", expose(scene(), RGGB), RGGB)
    before = (folder / "out" / "00.dng").read_bytes()
    (result,) = run(plan([folder / "in" / "00.RAF"], "out", ".dng"), Engine("bilinear"), overwrite=overwrite)
    assert result.outcome == "failed"
    assert f"{os.path.join('out', '00.dng')} is there and is no result of lincfa; give another -o" in result.text
    assert (folder / "out" / "00.dng").read_bytes() == before


def test_an_old_result_survives_an_overwrite_that_fails(folder, monkeypatch):
    write_rafs(folder / "in", 1)
    (folder / "out").mkdir()
    (folder / "out" / "00.npy").write_bytes(b"old")
    (folder / "in" / "00.RAF").write_bytes(b"broken")
    (result,) = run(jobs_of("in"), Engine(), format="npy", overwrite=True)
    assert result.outcome == "failed"
    assert (folder / "out" / "00.npy").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "cannot write"),
        (MemoryError(), "MemoryError"),
        (RuntimeError("out of memory\nat ..."), "RuntimeError: out of memory"),
    ],
    ids=["disk", "memory", "driver"],
)
def test_whatever_happens_to_one_file_is_one_line_and_the_others_are_done(folder, monkeypatch, error, said):
    write_rafs(folder / "in", 3)
    write = export.write

    def fail_once(path, *args, **kwargs):
        if path.name == "01.npy":
            raise error
        write(path, *args, **kwargs)

    monkeypatch.setattr(export, "write", fail_once)
    results = {r.job.source.name: r for r in run(jobs_of("in"), Engine(), format="npy")}
    assert outcomes(results.values()) == {"00.RAF": "written", "01.RAF": "failed", "02.RAF": "written"}
    assert results["01.RAF"].text.startswith(f"{os.path.join('in', '01.RAF')}: {said}")
    assert "\n" not in results["01.RAF"].text


def test_a_batch_that_is_stopped_leaves_whole_results_only(folder):
    """The caller asks for one result and goes away; the file in the network ends at its next tile."""
    write_rafs(folder / "in", 12)
    results = run(jobs_of("in"), Engine(), format="npy", threads=2)
    next(results)
    results.close()
    left = files(folder / "out")
    assert 1 <= len(left) < 12
    for name in left:
        assert np.load(folder / "out" / name).shape == (*SHAPE, 3)


def test_a_stop_ends_the_network_at_its_next_tile(folder):
    write_rafs(folder / "in", 1)
    stop = threading.Event()
    watched = []

    def watch(job, done, total):
        watched.append(done)
        stop.set()

    engine = Engine()
    engine._network("tiny")[1].tile_px = 24
    with pytest.raises(batch.Stopped):
        batch._demosaic(jobs_of("in")[0], engine, "npy", False, False, stop, watch)
    assert watched == [0]
    assert files(folder / "out") == []


def test_damaged_weights_are_named_before_any_file_is_touched(folder):
    weights = folder / "models" / "tiny" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1  # one bit of one weight: it still loads
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"tiny.weights\.safetensors: damaged"):
        Engine("tiny")
    write_rafs(folder / "in", 2)
    results = list(run(jobs_of("in"), Engine(), format="npy"))
    assert set(outcomes(results).values()) == {"failed"}
    assert all("weights.safetensors: damaged" in r.text and str(r.job.source) in r.text for r in results)


def test_a_missing_model_is_named_with_where_it_was_sought():
    with pytest.raises(CheckpointError, match="no-such-model: neither a checkpoint file nor a released model"):
        Engine("no-such-model")


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")
@pytest.mark.parametrize("name", ["auto", "tiny"])
def test_a_device_that_is_not_there_is_one_clear_error(folder, name):
    with pytest.raises(ValueError, match="--device cuda: not usable here"):
        Engine(name, device="cuda")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="Metal is there")
def test_metal_on_another_computer_is_refused_in_few_words():
    """torch says it in 1200 characters."""
    with pytest.raises(ValueError, match="--device mps: not usable here") as refused:
        Engine(device="mps")
    assert len(str(refused.value)) < 100


def test_a_device_that_onnxruntime_lacks_is_refused_at_once_also_where_auto_loads_nothing_yet(folder):
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("CUDA is there")
    with pytest.raises(ValueError, match=r"^--device cuda: onnxruntime has no CUDAExecutionProvider here$"):
        Engine(engine="onnx", device="cuda")


def test_a_model_without_its_weights_is_named_with_their_place(folder):
    (folder / "models" / "tiny" / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"\(no models.tiny.weights\.safetensors\)"):
        Engine("models/tiny")
    with pytest.raises(CheckpointError, match=r"\(no models.tiny.weights\.safetensors\)"):
        Engine("tiny")


@pytest.mark.parametrize(("asked", "ran"), [("bilinear", "bilinear"), ("ahd", "markesteijn3")])
def test_libraws_demosaicers_are_named_as_the_command_calls_them_and_by_what_ran(folder, asked, ran):
    write_rafs(folder / "in", 1)
    (result,) = run(jobs_of("in"), Engine(asked), format="npy")
    assert f"  {ran}  " in result.text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("auto", "no released model takes noise away"),
        ("tiny", "model tiny takes no noise away; `lincfa models` says which ones do"),
        ("markesteijn3", "model markesteijn3 takes no noise away"),
    ],
)
def test_strength_is_refused_where_nothing_takes_it(folder, name, said):
    with pytest.raises(ValueError, match=f"--strength: {said}"):
        Engine(name, strength=0.5)


def write_noisy(path, write=write_raf, cfa=XTRANS):
    """25 blocks that tell the noise, on a sensor of unequal gains."""
    rgb = np.broadcast_to(np.linspace(0.05, 0.6, 240)[:, None, None], (240, 240, 3))
    noise = {"read_noise": 0.01, "shot_noise": 0.002, "rng": np.random.default_rng(0)}
    write(path, expose(rgb, cfa, gains=(0.5, 1, 0.6), **noise), cfa, white_balance=(2, 1, 1 / 0.6))


@pytest.mark.parametrize("name", ["auto", "tiny-denoise"])
def test_a_strength_is_that_share_of_the_noise_that_is_found_told_to_the_model_that_takes_it(folder, name):
    write_denoiser(folder, gmac=9)
    write_noisy("a.RAF")
    (result,) = run(jobs_of("a.RAF"), Engine(name, strength=0.5), format="npy")
    frame = read_raw("a.RAF")
    found = estimate_noise(frame.mosaic, frame.cfa)
    assert found.deviation(0.18) == pytest.approx((0.01**2 + 0.002 * 0.18) ** 0.5, rel=0.1)
    demosaic, given = Demosaicer.released("tiny-denoise"), (frame.mosaic, frame.cfa, frame.white_balance)
    wanted = demosaic(*given, noise=(found.read, found.shot), strength=0.5)
    np.testing.assert_array_equal(np.load("out/a.npy"), wanted)
    assert np.abs(wanted - demosaic(*given)).max() > 1e-3
    grey = f"{100 * found.deviation(0.18):.2g} % at middle grey, strength 0.5  "
    assert "  tiny-denoise  noise " in result.text
    assert grey in result.text


def test_without_strength_auto_leaves_the_noise_to_a_model_that_does_too_even_at_a_higher_cost(folder):
    write_denoiser(folder, gmac=0.1)
    write_noisy("a.RAF")
    (result,) = run(jobs_of("a.RAF"), Engine(), format="npy")
    assert "  tiny  " in result.text
    assert "noise" not in result.text


def test_a_model_that_is_told_of_no_noise_takes_none_away(folder):
    write_denoiser(folder)
    write_noisy("a.RAF")
    assert [r.outcome for r in run(jobs_of("a.RAF"), Engine("tiny-denoise"), format="npy")] == ["written"]
    frame = read_raw("a.RAF")
    wanted = Demosaicer.released("tiny-denoise")(frame.mosaic, frame.cfa, frame.white_balance)
    np.testing.assert_array_equal(np.load("out/a.npy"), wanted)


def test_a_frame_whose_noise_cannot_be_told_is_done_without_and_says_so(folder):
    write_denoiser(folder)
    write_rafs(folder / "in", 1)
    (result,) = run(jobs_of("in"), Engine(strength=1.0), format="npy")
    assert result.outcome == "written"
    assert "  noise not reduced: too few blocks that do not clip to tell it  " in result.text
    frame = read_raw("in/00.RAF")
    wanted = Demosaicer.released("tiny-denoise")(frame.mosaic, frame.cfa, frame.white_balance)
    np.testing.assert_array_equal(np.load("out/00.npy"), wanted)


def test_a_sensor_without_a_model_that_takes_noise_is_refused_by_file_and_the_others_are_done(folder):
    write_denoiser(folder)
    write_release(folder, "bayer-tiny", "bayer")
    write_noisy("a.RAF")
    write_noisy("b.dng", write_dng, RGGB)
    results = list(run(jobs_of("a.RAF", "b.dng"), Engine(strength=0.5), format="npy"))
    assert outcomes(results) == {"a.RAF": "written", "b.dng": "failed"}
    said = "--strength: no released model takes noise away for Bayer; leave it out"
    assert {r.text for r in results if r.outcome == "failed"} == {f"b.dng: {said}"}


def test_a_file_says_how_much_noise_was_taken_away(folder, monkeypatch):
    write_denoiser(folder)
    write_noisy("a.RAF")
    made_by = []
    monkeypatch.setattr(export, "write", lambda *args, model, **kwargs: made_by.append(model))
    for strength in (0.5, 0.0):
        list(run(jobs_of("a.RAF"), Engine("tiny-denoise", strength=strength), format="npy"))
    assert made_by == ["tiny-denoise, noise reduction 0.5", "tiny-denoise"]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("auto", "no model is released for Bayer yet; choose one of LibRaw's, as --model ahd"),
        ("larger", "model larger is for X-Trans, and this is Bayer"),
        ("markesteijn3", "markesteijn3 is an algorithm for X-Trans, and this CFA is bayer"),
    ],
)
def test_a_model_for_another_sensor_is_refused_by_file_and_the_others_are_done(folder, model, said):
    write_rafs(folder / "in", 1)
    write_dng("in/b.dng", expose(scene(), RGGB), RGGB)
    results = list(run(jobs_of("in"), Engine(model), format="npy"))
    assert outcomes(results) == {"00.RAF": "written", "b.dng": "failed"}
    assert {r.text for r in results if r.outcome == "failed"} == {f"{os.path.join('in', 'b.dng')}: {said}"}


def test_auto_takes_a_bayer_model_as_soon_as_one_is_released(folder):
    write_release(folder, "bayer-tiny", "bayer")
    write_dng("b.dng", expose(scene(), RGGB), RGGB)
    (result,) = run(jobs_of("b.dng"), Engine(), format="npy")
    assert "  bayer-tiny  " in result.text


QUAD = CFA.from_tile(np.kron([[0, 1], [1, 2]], np.ones((2, 2), int)))


@pytest.mark.parametrize("model", ["auto", "bilinear"])
def test_a_quad_sensor_is_refused_whatever_the_model(folder, model):
    write_dng("quad.dng", expose(scene(), QUAD), QUAD)
    (result,) = run(jobs_of("quad.dng"), Engine(model), format="npy")
    assert result.outcome == "failed"
    assert result.text.startswith("quad.dng: ")
    assert files(folder / "out") == []


def test_a_pattern_that_libraw_knows_and_lincfa_does_not_is_refused(folder, monkeypatch):
    write_rafs(folder / "in", 1)
    monkeypatch.setattr(batch, "read_raw", lambda path: replace(read_raw(path), cfa=QUAD))
    (result,) = run(jobs_of("in"), Engine("bilinear"), format="npy")
    assert result.text.endswith("00.RAF: its CFA repeats every 4 x 4: neither X-Trans nor Bayer")
