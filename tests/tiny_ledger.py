"""Experiments of the ledger: one as a file, and others made of a few figures."""

from lincfa.ledger import Experiment
from lincfa.runfiles import Evaluation, Run

SUITE = "truth:kodak24"
HAND = """# a remark that YAML tools would lose
id: v5.0_probe
title: a probe
status: analysis
origin: measured
date: 2026-03-01
version: "5.0"
variant: probe
readme: true
scripts: [scripts/train/probe.py, scripts/train/gone.py]
question: Does it work?
lesson: >-
  It does,
  a little.
"""


def run(name, seed, width):
    config = {"name": name, "seed": seed, "width": width}
    return Run(name, "c", "python r.py", {"path": "d", "sha256": "0"}, seed, config, seconds=100.0 + seed)


def facts(value):
    return {"images": 2, "mean": {"psnr_linear_db": value, "ssim": value / 50}, "spread": {}}


def experiment(name, values, libraw=33.0, cfa="xtrans", seeds=(0, 1)):
    """values: {width: [dB of each seed]}; one arm each."""
    runs = [run(f"{name}_{w}_{s}", s, w) for w, dbs in values.items() for s, _ in zip(seeds, dbs, strict=False)]
    dbs = [value for column in values.values() for value in column]
    models = {f"{r.folder}/best.pt": facts(value) for r, value in zip(runs, dbs, strict=True)} | {"vng": facts(libraw)}
    evaluation = Evaluation(SUITE, cfa, "e.json", "0", "evaluate", "c", models)
    named = {"id": name, "title": "t", "status": "wip", "origin": "measured", "date": "2026-03-01"}
    return Experiment(**named, version="5.0", variant="x", runs=tuple(runs), evaluations=(evaluation,), headline=SUITE)
