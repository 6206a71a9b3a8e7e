"""lincfa: demosaic raw files with a trained network.

lincfa demosaic *.RAF -o developed      linear DNGs, which raw converters open
lincfa demosaic *.RAF --strength 0.7    with less noise
lincfa info DSCF0001.RAF                what is known of a file
lincfa models                           the networks that are there
lincfa export xtrans-s --onnx x.onnx    a network for other programs
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import closing, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

# Only what is quick is imported here: torch and LibRaw take a second, and --help needs neither.
OUTPUT_FORMATS = {".dng": "dng", ".tif": "tiff", ".tiff": "tiff", ".exr": "exr", ".npy": "npy", ".png": "png"}
OTHER_PICTURES = {".jpg", ".jpeg", ".webp", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".bmp", ".gif", ".psd"}
"""Who types one means a file, which is not written, and not a folder of that name."""
INTERRUPTED = 130
"""What shells report for a program that Ctrl-C ended."""


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0, 1 when a file or the command failed, 2 for a wrong command line, 130 after Ctrl-C."""
    args = build_parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # no name of a file can stop a batch
    try:
        return args.command(args)
    except KeyboardInterrupt:
        _complain("stopped; results written so far are whole")
        return INTERRUPTED
    except (ValueError, OSError, ModuleNotFoundError) as error:
        _complain(error)
        return 1


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lincfa", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"lincfa {version('lincfa')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("demosaic", help="raw files to full-colour files", description=demosaic.__doc__)
    command.add_argument("inputs", nargs="+", metavar="IN", help="raw files, folders (searched deep), quoted patterns")
    command.add_argument("-o", "--output", metavar="DIR|FILE", help="default: beside each file, as NAME-lincfa.dng")
    command.add_argument("--format", choices=sorted(set(OUTPUT_FORMATS.values())), help="default: by FILE, else dng")
    command.add_argument("--render", action="store_true", help="TIFF in sRGB, to look at, instead of linear")
    command.add_argument(
        "--model",
        default="auto",
        help="auto (default: the lightest released one for the sensor), a name that `lincfa models` lists, a weights "
        "file (with --engine onnx also an ONNX file), or one of LibRaw's: bilinear vng markesteijn1 markesteijn3 "
        "(X-Trans), ahd dht aahd (Bayer)",
    )
    command.add_argument(
        "--strength",
        type=_share,
        default=0.0,
        metavar="0..1",
        help="of noise reduction: 0 (default) none, 1 all the noise that is found in the file. Only models that are "
        "told of noise take one (`lincfa models` says which): auto then is the lightest of those, and any other model "
        "is an error. A file whose noise cannot be told (tiny, or clipped all over) is done without; its line says so",
    )
    command.add_argument(
        "--jobs",
        type=_positive,
        metavar="N",
        help="files in work at a time (default 2; 1 on two cores without a graphics card)",
    )
    command.add_argument("--overwrite", action="store_true", help="write results again that are there already")
    command.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    command.add_argument("--engine", default="torch", choices=("torch", "onnx"), help="what runs the network")
    command.set_defaults(command=demosaic)
    command = commands.add_parser("info", help="camera, CFA, levels, noise of raw files", description=info.__doc__)
    command.add_argument("inputs", nargs="+", metavar="IN", help="as for demosaic")
    command.set_defaults(command=info)
    command = commands.add_parser("models", help="the released models", description=models.__doc__)
    command.set_defaults(command=models)
    command = commands.add_parser("export", help="a network for other programs", description=export.__doc__)
    command.add_argument("model", metavar="NAME", help="a name that `lincfa models` lists, or a weights file")
    target = command.add_mutually_exclusive_group(required=True)
    target.add_argument("--onnx", metavar="PATH", help="the ONNX file to write")
    target.add_argument("--darktable", metavar="DIR", help="the folder to make: a package for darktable's models")
    command.add_argument("--precision", default="fp32", choices=("fp32", "fp16", "int8"))
    command.add_argument("--calibration", metavar="DIR", help="for int8: photographs, or a built dataset")
    command.set_defaults(command=export)
    return parser


def demosaic(args: argparse.Namespace) -> int:
    """Demosaic raw files into full-colour files. One that fails does not stop the others; the exit status is then 1."""
    from lincfa.plan import find_sources, plan

    format, suffix = _format(args.output, args.format)
    if args.render and format not in ("tiff", "png"):
        raise ValueError(f"--render makes pictures to look at: tiff or png, not {format}")
    sources, complaints = find_sources(args.inputs)
    jobs = plan(sources, args.output, suffix)
    for complaint in complaints or ([] if jobs else ["nothing to do: there are only results of lincfa"]):
        _complain(complaint)
    if not jobs:
        return 1
    from lincfa.batch import Engine, run

    engine = Engine(args.model, device=args.device, engine=args.engine, strength=args.strength)
    results = []
    started = time.perf_counter()
    with _libraw_is_quiet(), _progress() as bar:
        files = bar.add_task("files", total=len(jobs))
        tiles = bar.add_task("", total=None, visible=False)

        def watch(job, done: int, total: int) -> None:
            bar.update(tiles, completed=done, total=total, description=job.source.name, visible=True)

        options = {"format": format, "render": args.render, "overwrite": args.overwrite, "threads": args.jobs}
        with closing(run(jobs, engine, **options, watch=watch)) as finished:
            for result in finished:
                results.append(result)
                if result.outcome == "failed":
                    _complain(result.text)
                else:
                    print(result.text, flush=True)  # also into a file or a pipe that somebody watches
                bar.advance(files)
    count = {outcome: [r for r in results if r.outcome == outcome] for outcome in ("written", "skipped", "failed")}
    if len(jobs) > 1:
        summary = ", ".join(f"{len(found)} {outcome}" for outcome, found in count.items())
        print(f"{summary} in {time.perf_counter() - started:.1f} s")
    if len(count["failed"]) > 1:
        _complain(f"failed: {' '.join(str(r.job.source) for r in count['failed'])}")
    return 1 if count["failed"] or complaints else 0


def info(args: argparse.Namespace) -> int:
    """What is known of raw files: camera, CFA, levels, white balance, noise, and the model that auto takes."""
    from lincfa.describe import failure, frame_lines
    from lincfa.plan import check_source, find_sources
    from lincfa.raw import read_raw

    sources, complaints = find_sources(args.inputs)
    for complaint in complaints:
        _complain(complaint)
    status = 1 if complaints else 0
    with _libraw_is_quiet():
        for path in sources:
            try:
                check_source(path)
                lines = frame_lines(read_raw(path))
            except Exception as error:  # whatever a file does to a decoder, the others are shown
                _complain(failure(error, path))
                status = 1
            else:
                _show(str(path), lines)
    return status


def models(args: argparse.Namespace) -> int:
    """The released models: sensor, figures beside LibRaw's best, cost and licence."""
    from lincfa.describe import model_lines
    from lincfa.released import released_models

    found = released_models()
    if not found:
        raise ValueError("no released models: neither in models/ nor in the installed package")
    for model in found.values():
        _show(model.id, model_lines(model))
    return 0


def export(args: argparse.Namespace) -> int:
    """Write a network as an ONNX file, or as a package for darktable's neural models, and say what it loses against
    torch. See docs/export.md."""
    if args.onnx and os.path.isfile(args.onnx):
        raise ValueError(f"{args.onnx}: is there already; give another name")
    from lincfa.checkpoint import load_weights
    from lincfa.portable.darktable import package
    from lincfa.portable.graph import metadata, save, to_onnx
    from lincfa.portable.parity import NOISE, compare, parity_lines
    from lincfa.portable.precision import in_precision
    from lincfa.portable.session import OnnxNetwork

    with _progress() as bar:
        task = bar.add_task("calibrating", total=None)

        def watch(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        graph = in_precision(to_onnx(args.model), args.precision, args.calibration, watch)
        if args.darktable:
            path = package(args.model, graph, args.darktable)
        else:
            path = args.onnx
            save(graph, path)
        bar.reset(task, description="comparing with torch")
        both = (load_weights(args.model).network, OnnxNetwork(str(path), device="cpu"))
        lines = parity_lines(compare(*both, watch))
        if both[0].takes_noise:
            bar.reset(task, description="comparing with torch, told of noise")
            lines += parity_lines(compare(*both, watch, noise=NOISE))[:-1]  # the time is the same
    facts = metadata(graph)
    print(f"{path}  {facts['name']}  {args.precision}  {os.path.getsize(path) / 1e6:.1f} MB  opset {facts['opset']}")
    print("\n".join(lines))
    return 0


def _format(output: str | None, format: str | None) -> tuple[str, str]:
    """(format, suffix of the results). Raises ValueError where a file's name and --format disagree, and for an output
    that is no folder and not called like a result."""
    from lincfa.plan import RAW_SUFFIXES, names_folder

    if output and not names_folder(output):
        suffix = Path(output).suffix.lower()
        named = OUTPUT_FORMATS.get(suffix)
        if named and format not in (None, named):
            raise ValueError(f"{output}: this name says {named}, and --format says {format}")
        if named:
            return named, suffix
        if os.path.lexists(output) or suffix in OTHER_PICTURES | RAW_SUFFIXES:
            raise ValueError(
                f"{output}: neither a folder nor a file that lincfa writes ({' '.join(OUTPUT_FORMATS)}); "
                "the name of a new folder may end in /"
            )
    format = format or "dng"
    return format, next(s for s, f in OUTPUT_FORMATS.items() if f == format)


def _show(title: str, lines: list) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    console.print(title, style="bold", markup=False, soft_wrap=True)
    for label, value in lines:
        for i, part in enumerate(Text(value).split() if isinstance(value, str) else value.split("\n")):
            console.print(Text(f"  {'' if i else label:14}") + part, soft_wrap=True)


def _progress():
    """Bars on a terminal; what is printed meanwhile stands above them, and errors stay errors when they are piped."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(file=sys.stdout)  # also while a library is kept from printing there
    return Progress(
        TextColumn("{task.description}", markup=False),  # names of files may have brackets
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stderr=sys.stderr.isatty(),
    )


@contextmanager
def _libraw_is_quiet():
    """LibRaw tells the process's standard error about a broken file in its own words. Ours go on to where they went."""
    if sys.stderr is not sys.__stderr__:  # somebody else's, and not the process's
        yield
        return
    with open(os.devnull, "w") as nowhere, open(os.dup(2), "w", buffering=1, errors="backslashreplace") as ours:
        os.dup2(nowhere.fileno(), 2)
        sys.stderr = ours
        try:
            yield
        finally:
            sys.stderr = sys.__stderr__
            os.dup2(ours.fileno(), 2)


def _share(text: str) -> float:
    with suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text} is no number from 0 to 1")


def _positive(text: str) -> int:
    with suppress(ValueError):
        if int(text) >= 1:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text} is no whole number from 1 on")


def _complain(text: object) -> None:
    print(f"lincfa: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
