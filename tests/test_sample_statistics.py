"""The script that compares what datasets give to training."""

import json


def test_the_samples_of_each_colour_are_described_and_their_distance_from_the_truth(
    tmp_path, run_script, remosaic_set, teacher_set
):
    folders = [str(folder) for folder, _ in (remosaic_set, teacher_set)]
    status, out, err = run_script(
        "utils/sample_statistics.py", *folders, "--patches", 20, "--patch-px", 36, "--json", tmp_path / "s.json"
    )
    assert status == 0, err
    assert "darkest_1" in out
    rows = json.loads((tmp_path / "s.json").read_text())["rows"]
    assert [(row["data"], row["colour"]) for row in rows] == [(f, c) for f in folders for c in "RGB"]
    assert [row["from_truth_rms"] for row in rows[:3]] == [0, 0, 0]
    assert all(row["from_truth_rms"] > 0 for row in rows[3:])
    assert all(row["darkest_1"] <= row["mean"] <= row["brightest_1"] for row in rows)


def test_a_dataset_that_is_not_there_is_one_line(tmp_path, run_script):
    status, _, err = run_script("utils/sample_statistics.py", tmp_path / "gone")
    assert status == 1
    assert err.startswith("sample_statistics: ")
    assert "gone" in err
