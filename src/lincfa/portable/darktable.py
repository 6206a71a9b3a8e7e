"""A network as darktable's neural models are packed, with what its maintainers ask to know about one.

    <folder>/<id>.dtmodel                what darktable installs: a zip of <id>/, the second folder below
    <folder>/models/<id>/                README.md (the card), model.yaml, convert.py, demo.py, training_data.tsv
    <folder>/output/<id>/                config.json, model.onnx

These are the places and names of github.com/darktable-org/darktable-ai; docs/export.md says what is known of them.
"""

from __future__ import annotations

import csv
import json
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import onnx
import yaml

from lincfa.checkpoint import find_weights
from lincfa.portable.graph import CONTRACT, OnnxError, metadata
from lincfa.recordtext import table
from lincfa.release import write_table
from lincfa.released import FACTS

TASK = "demosaic"
"""No darktable has this task yet; those that it has (denoise, rawdenoise, upscale, mask, ...) take other pictures."""
TILE_PX = 768
PROGRAMS = {"convert.py": "darktable_convert.py", "demo.py": "darktable_demo.py"}
FAMILIES = {"xtrans": "X-Trans", "bayer": "Bayer"}


def package(name: str, graph: onnx.ModelProto, folder) -> Path:
    """Make the folder, whole or not at all, and return the path of the ONNX file in it.

    name: a released model's name, whose card's files are used. graph: it, by lincfa.portable.graph.
    Raises OnnxError for a model without a card's files, a folder that is there already and one that cannot be made.
    """
    facts, data, card = _card_files(find_weights(name).parent)
    folder, id = Path(folder), f"{TASK}-{facts['name']}"
    if folder.exists():
        raise OnnxError(f"{folder}: is there already; give a folder that is not")
    config = _config(id, facts, data, metadata(graph))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
            root = Path(temporary, "package")
            source, built = root / "models" / id, root / "output" / id
            source.mkdir(parents=True)
            built.mkdir(parents=True)
            (built / "model.onnx").write_bytes(graph.SerializeToString())
            (built / "config.json").write_text(json.dumps(config, indent=4, ensure_ascii=False) + "\n", "utf-8")
            (source / "README.md").write_text(_readme(config, facts, data, metadata(graph), card), "utf-8")
            (source / "model.yaml").write_text(_model_yaml(config, facts["name"]), "utf-8")
            write_table(source / "training_data.tsv", data)
            for target, program in PROGRAMS.items():
                (source / target).write_bytes(Path(__file__).with_name(program).read_bytes())
            with zipfile.ZipFile(root / f"{id}.dtmodel", "w", zipfile.ZIP_DEFLATED) as archive:
                for file in (built / "config.json", built / "model.onnx", source / "README.md"):
                    archive.write(file, f"{id}/{file.name}")
            root.rename(folder)
    except OSError as error:
        raise OnnxError(f"cannot make {folder} ({error.strerror})") from error
    return folder / "output" / id / "model.onnx"


def _card_files(folder: Path) -> tuple[dict, list[dict], str]:
    """metrics.json, the rows of training_data.tsv, and README.md, of a released model's folder."""
    try:
        facts = json.loads((folder / FACTS).read_text("utf-8"))
        card = (folder / "README.md").read_text("utf-8")
        with open(folder / "training_data.tsv", encoding="utf-8", newline="") as table:
            data = list(csv.DictReader(table, delimiter="\t"))
    except OSError as error:
        raise OnnxError(
            f"{error.filename}: a package is made of a released model's card, and this is missing"
        ) from error
    except ValueError as error:
        raise OnnxError(f"{folder / FACTS}: cannot be read ({error})") from error
    return facts, data, card


def _config(id: str, facts: dict, data: list[dict], contract: dict[str, str]) -> dict:
    """What darktable reads. The version changes with the weights: darktable sees updates by it."""
    family = FAMILIES[facts["family"]]
    noise = "is told how strong the noise is" if "noise" in contract else "takes no noise away"
    return {
        "id": id,
        "name": f"{TASK} {facts['name']}",
        "description": f"Demosaics {family} mosaics in linear light",
        "task": TASK,
        "arch": facts["model"]["name"],
        "backend": "onnx",
        "version": f"{version('lincfa')}+{facts['weights_sha256'][:8]}",
        "tiling": True,
        "model_card": {
            "long_description": f"{family} mosaic in, linear camera RGB out, at full resolution and unclipped. It "
            f"{noise}, and does not sharpen. Results and limits: README.md.",
            "scope": f"demosaicing of {family} raw files",
            "author": "the lincfa project",
            "source": f"lincfa {version('lincfa')}, trained at commit {facts['run']['commit']}",
            "license": facts["licence"],
            "training_data": f"{len(data)} photographs of {len(_sources(data))} public collections, made mosaics by "
            "program; each with its origin in training_data.tsv",
            "training_data_license": "; ".join(sorted({row["licence"] for row in data})),
            "notes": facts["licence_reason"],
        },
        "attributes": {
            "input_sizes": [TILE_PX // int(contract["multiple_px"]) * int(contract["multiple_px"])],
            "size_multiple": int(contract["multiple_px"]),
            "margin": int(contract["margin_px"]),
            "input_kind": f"{facts['family']}_lincfa_1",
            "cfa": contract["cfa"],
        },
    }


def _model_yaml(config: dict, name: str) -> str:
    model = {key: value for key, value in config.items() if key not in ("model_card", "attributes")}
    model |= {"type": "single", "dep_group": "lincfa", "attributes": config["attributes"]}
    model |= {"model_card": config["model_card"]}
    model |= {"convert": [{"script": "convert.py", "args": {"model": name, "output": "{output}/model.onnx"}}]}
    return yaml.safe_dump(model, sort_keys=False, allow_unicode=True, width=120)


def _readme(config: dict, facts: dict, data: list[dict], contract: dict[str, str], card: str) -> str:
    about = config["model_card"]
    values = [(key.replace("_", " ").capitalize(), contract[key]) for key in CONTRACT if key in contract]
    parts = [
        f"# {config['id']}",
        about["long_description"],
        "## Source",
        f"- {about['source']} (MIT), by `{facts['run']['command']}`\n- weights: {about['license']}. {about['notes']}",
        "## Architecture",
        f"`{facts['model']}`: {facts['parameters']:,} parameters, {facts['gmac_per_megapixel']:g} GMAC per megapixel.",
        "## ONNX Model",
        table(
            ("Property", "Value"),
            [
                ("File", f"`model.onnx`, opset {contract['opset']}, {contract['precision']}"),
                *values,
                ("CFA", f"`{contract['cfa']}`"),
                ("Resolution", f"dynamic: `height` and `width` are multiples of {contract['multiple_px']}"),
                ("Margin", f"{contract['margin_px']} px"),
                ("sha256 of the weights", f"`{contract['weights_sha256']}`"),
            ],
        ),
        "## Selection Criteria",
        table(
            ("Property", "Value"),
            [
                ("Model license", about["license"]),
                (
                    "OSAID v1.0",
                    "not assessed; code, weights and the list of training pictures are parts of the project",
                ),
                ("MOF", "proposed: Class II (Open Tooling)"),
                ("Training data license", about["training_data_license"]),
                ("Training data provenance", f"{about['training_data']}: {', '.join(_sources(data))}"),
                ("Training code", f"lincfa (MIT), `{facts['run']['command']}`"),
                ("Known limitations", "Limits, below"),
                ("Published research", "none; measurements below, each with the command that made it"),
                ("Inference", "local only"),
                ("Scope", about["scope"]),
                ("Reproducibility", "training, evaluation, export and demo are commands of lincfa"),
            ],
        ),
        "## Card of the released model",
        _one_level_lower(card),
    ]
    return "\n\n".join(parts) + "\n"


def _one_level_lower(card: str) -> str:
    """The card without its title."""
    lines = card.strip().splitlines()[1:]
    return "\n".join(f"#{line}" if line.startswith("#") else line for line in lines).strip()


def _sources(data: list[dict]) -> list[str]:
    return sorted({row["source_repository"] for row in data})
