"""Which files are taken and where results go: nothing is decoded, so any file will do."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from lincfa.plan import Job, PlanError, check_target, find_sources, plan


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """make('a/b.RAF', ...) creates empty files; the working folder is their root."""
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    return make


def write_result(path, source=b"", software="lincfa 0.1.0"):
    """A DNG so far as its header goes, made from a file of these bytes."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    identity = (50973, "B", 16, hashlib.sha256(source).digest()[:16], True)
    tifffile.imwrite(path, np.zeros((1, 1), np.uint8), software=software, metadata=None, extratags=[identity])


def found(*inputs):
    files, complaints = find_sources(inputs)
    assert complaints == []
    return [str(file) for file in files]


def targets(names, output=None, suffix=".dng"):
    files, _ = find_sources(names)
    return {str(job.source): str(job.target) for job in plan(files, output, suffix)}


def test_a_folder_is_searched_deep_for_raw_files_of_any_case(tree):
    tree("in/b.RAF", "in/a.nef", "in/deep/c.Cr2", "in/d.jpg", "in/e.xmp", "in/._b.RAF", "in/.trash/f.RAF")
    assert found("in") == ["in/a.nef", "in/b.RAF", "in/deep/c.Cr2"]


def test_a_file_that_is_named_is_taken_whatever_it_is_called(tree):
    tree("a.tif")
    assert found("a.tif") == ["a.tif"]


def test_a_quoted_pattern_is_expanded_and_brackets_in_a_name_are_no_pattern(tree):
    tree("x/1.RAF", "x/y/2.RAF", "x/3.jpg", "z[1].RAF")
    assert found("x/**/*.RAF") == ["x/1.RAF", "x/y/2.RAF"]
    assert found("z[1].RAF") == ["z[1].RAF"]


def test_a_file_that_is_named_twice_is_taken_once(tree):
    tree("in/a.RAF", "in/b.RAF")
    assert found("in/b.RAF", "in", os.path.abspath("in/a.RAF"), "in/../in/a.RAF") == ["in/b.RAF", "in/a.RAF"]


def test_each_input_that_gives_nothing_is_named_and_the_others_are_taken(tree):
    tree("a.RAF", "pictures/b.jpg")
    files, complaints = find_sources(["gone.RAF", "a.RAF", "no*.RAF", "pictures"])
    assert [str(f) for f in files] == ["a.RAF"]
    assert [c.split(":")[0] for c in complaints] == ["gone.RAF", "no*.RAF", "pictures"]


def test_a_folder_that_cannot_be_read_is_named_and_its_neighbours_are_taken(tree, monkeypatch):
    """os.scandir stands in for the system, since root may read everything."""
    tree("in/a.RAF", "in/locked/b.RAF")
    scandir = os.scandir

    def locked(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    files, complaints = find_sources(["in"])
    assert [str(f) for f in files] == ["in/a.RAF"]
    assert complaints == ["in/locked: cannot read this folder (Permission denied)"]


def test_a_file_in_a_folder_that_may_not_be_entered_is_not_called_missing(tree, monkeypatch):
    """os.lstat stands in for the system, since root may enter everything."""

    def locked(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "lstat", locked)
    assert find_sources(["locked/a.RAF"]) == ([], ["locked/a.RAF: cannot read it (Permission denied)"])


def test_a_result_beside_its_source_is_marked_and_in_a_folder_it_is_not(tree):
    tree("in/a.RAF")
    assert targets(["in"]) == {"in/a.RAF": "in/a-lincfa.dng"}
    assert targets(["in"], "out") == {"in/a.RAF": "out/a.dng"}
    assert targets(["in"], "in") == {"in/a.RAF": "in/a-lincfa.dng"}


def test_files_of_one_name_from_two_folders_get_names_of_their_own(tree):
    tree("100/a.RAF", "101/a.RAF", "101/b.RAF")
    assert targets(["100", "101"], "out") == {
        "100/a.RAF": "out/100-a.dng",
        "101/a.RAF": "out/101-a.dng",
        "101/b.RAF": "out/b.dng",
    }


def test_files_of_one_name_and_two_suffixes_get_names_of_their_own(tree):
    tree("a.RAF", "a.nef")
    assert targets(["a.nef", "a.RAF"]) == {"a.RAF": "a-raf-lincfa.dng", "a.nef": "a-nef-lincfa.dng"}


HARD = ("1/x/a.RAF", "2/x/a.RAF", "2/x/a.nef", "3/x/A.raf", "a-raf.RAF", "x-a.RAF", "x-a-raf.nef", "4/a-raf.nef")


def test_no_two_results_share_a_name_even_where_case_does_not_count(tree):
    """Among them names that are what others would be called to tell them apart."""
    tree(*HARD)
    result = targets(HARD, "out")
    assert len(result) == len(HARD) == len({t.casefold() for t in result.values()})


def test_names_do_not_depend_on_the_order_of_the_inputs(tree):
    tree(*HARD)
    assert targets(HARD, "out") == targets(HARD[::-1], "out") == targets(["."], "out")


@pytest.mark.parametrize("output", [None, "in", "in/out", "out"])
def test_a_second_run_takes_the_same_files_and_not_the_first_ones_results(tree, output):
    tree("in/a.RAF", "in/a.dng", "in/deep/b.dng")
    first = targets(["in"], output)
    assert len(first) == 3
    for name in first.values():
        write_result(name)
    assert targets(["in"], output) == first
    assert targets(["in"], "elsewhere", ".tif").keys() == first.keys()
    assert found("in/**/*.*") == sorted(first)


def test_a_result_of_an_earlier_run_does_not_change_the_names_of_the_next(tree):
    tree("in/a.RAF")
    write_result("in/developed/a.dng")
    assert targets(["in"], "in/tiff", ".tif") == {"in/a.RAF": "in/tiff/a.tif"}


def test_a_raw_file_that_lies_where_a_result_would_go_is_a_source_of_its_own(tree):
    tree("in/a.RAF", "in/dng/a.dng")
    assert targets(["in"], "in/dng") == {"in/a.RAF": "in/dng/a.dng", "in/dng/a.dng": "in/dng/a-lincfa.dng"}
    with pytest.raises(PlanError, match=r"a\.dng is there and is no result of lincfa; give another -o"):
        check_target(Job(Path("in/a.RAF"), Path("in/dng/a.dng")))


def test_a_link_to_a_raw_file_in_the_output_folder_is_not_dropped(tree):
    tree("archive/a.dng", "in/x")
    os.symlink("../archive/a.dng", "in/a.dng")
    assert targets(["in"], "archive") == {"in/a.dng": "archive/a.dng"}


def test_a_dng_that_was_made_from_another_file_is_neither_this_ones_result_nor_replaced(tree):
    Path("a.RAF").write_bytes(b"this")
    job = Job(Path("a.RAF"), Path("out/a.dng"))
    write_result(job.target, b"this")
    check_target(job)
    write_result(job.target, b"other")
    with pytest.raises(PlanError, match=r"a\.dng is there, made from another file"):
        check_target(job)


def test_a_result_is_never_a_source(tree):
    tree("a.dng")
    write_result("out/a.dng")
    assert targets(["a.dng", "out/a.dng"], "out") == {"a.dng": "out/a.dng"}
    assert targets(["a.dng"]) == {"a.dng": "a-lincfa.dng"}
    with pytest.raises(PlanError, match=r"a\.dng: .*over its own source"):
        targets(["a.dng"], "./a.dng")


def test_an_output_that_ends_like_a_result_is_a_file_unless_it_is_a_folder(tree):
    tree("a.RAF", "b.RAF", "folder.dng/x")
    assert targets(["a.RAF"], "x.dng") == {"a.RAF": "x.dng"}
    assert targets(["a.RAF"], "2026.07") == {"a.RAF": "2026.07/a.dng"}
    assert targets(["a.RAF"], "folder.dng") == {"a.RAF": "folder.dng/a.dng"}
    assert targets(["a.RAF"], "new.dng/") == {"a.RAF": "new.dng/a.dng"}
    with pytest.raises(PlanError, match=r"x\.dng: one file cannot hold 2 results"):
        targets(["a.RAF", "b.RAF"], "x.dng")
