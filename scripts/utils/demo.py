"""The whole v4 path on an embedded default: RAF files -> dataset -> training -> one table.

    make demo        (or: python scripts/utils/demo.py)

RAF files are written from procedural scenes and the photographs that scikit-image carries, so nothing is downloaded.
About six minutes on two CPU cores with bfloat16 instructions, eleven without, more than half of it training. What is
there already is not made again.
"""

import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path("data/demo")
NETWORK = "checkpoints/experiments/demo/best.pt"
RELEASED = "checkpoints/v4_production/best.pt"
LABELS = {NETWORK: "v4, trained just now", RELEASED: "v4, released weights"}
MODELS = [NETWORK, RELEASED, "bilinear", "vng", "markesteijn1", "markesteijn3"]
PANEL = HERE / "panel.png"
TRAINING = ["name=demo", "checkpoint_folder=experiments/demo", "images=28800", "validate_every_images=9600"]
TRAINING += ["data.patch_px=64", "optim.lr=2e-3", "optim.warmup_images=1600", "optim.ema_halflife_images=2000"]
TRAINING += ["precision=auto", "channels_last=true"]


def main() -> int:
    rafs, dataset, torture = HERE / "rafs", HERE / "v4", HERE / "torture"
    step("utils/make_rafs.py", "--demo", "--out", rafs)
    step("utils/build_dataset_v4.py", "--raw", rafs, "--out", dataset, "--validation-share", "0.25")
    step("utils/torture_v2.py", "--out", torture, "--count", "65")
    step("train/train_v4.py", "--data", dataset, "--set", *TRAINING)
    for suite, path in (("raf", dataset), ("torture", torture)):
        step("utils/evaluate.py", "--models", *MODELS, "--suite", f"{suite}={path}", "--json", HERE / f"{suite}.json")
    pictures = [
        "--models",
        NETWORK,
        RELEASED,
        "markesteijn3",
        "--suite",
        f"raf={dataset}",
        "--zoom",
        "2",
        "--out",
        PANEL,
    ]
    step("utils/panel.py", *pictures)
    Console().print(table())
    print("training log  logs/train_demo.log")
    print("TensorBoard   .venv/bin/tensorboard --logdir logs")
    print(f"checkpoint    {NETWORK}")
    print(f"pictures      {PANEL} (each model: input, output, truth, difference), logs/demo/panel.png")
    return 0


def step(script: str, *args) -> None:
    command = [sys.executable, f"scripts/{script}", *map(str, args)]
    print(f"\n$ python {' '.join(command[1:])}", flush=True)
    done = subprocess.run(command)
    if done.returncode:
        sys.exit(done.returncode)


def table() -> Table:
    """Both suites side by side, best on the validation RAFs first."""
    means = {suite: json.loads((HERE / f"{suite}.json").read_text())["mean"] for suite in ("raf", "torture")}
    shown = Table(title="PSNR of linear / sRGB-coded values, dB")
    for heading in ("model", f"validation RAFs ({means['raf'][MODELS[1]]['images']})", "torture set", "SSIM (RAFs)"):
        shown.add_column(heading, justify="left" if heading == "model" else "right")
    for name in sorted(MODELS, key=lambda n: -means["raf"][n]["psnr_linear_db"]):
        pairs = [f"{m[name]['psnr_linear_db']:.2f} / {m[name]['psnr_srgb_db']:.2f}" for m in means.values()]
        shown.add_row(LABELS.get(name, f"{name} (LibRaw)"), *pairs, f"{means['raf'][name]['ssim']:.4f}")
    return shown


if __name__ == "__main__":
    sys.exit(main())
