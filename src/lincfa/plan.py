"""Which files to demosaic and where each result goes.

Nothing is decoded. Paths count, and where a result could pass for a raw file or a raw file for a result, what the
file's header says of who made it and from what.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lincfa.export.metadata import is_result, source_id
from lincfa.raw import file_sha256

RAW_SUFFIXES = frozenset(
    {".3fr", ".ari", ".arw", ".bay", ".cap", ".cr2", ".cr3", ".crw", ".dcr", ".dcs", ".dng", ".drf", ".erf", ".fff"}
    | {".gpr", ".iiq", ".k25", ".kdc", ".mdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".ptx", ".pxn"}
    | {".raf", ".raw", ".rw2", ".rwl", ".rwz", ".sr2", ".srf", ".srw", ".x3f"}
)
"""What a folder is searched for. A file that is named itself may be called anything."""
MARK = "-lincfa"
"""Follows the name of a result beside its source, so that it cannot be taken for another program's file."""


class PlanError(ValueError):
    """Inputs and output that do not go together; the message names the file."""


@dataclass(frozen=True)
class Job:
    """One file to demosaic, and the file to write."""

    source: Path
    target: Path


def find_sources(inputs: Sequence[str]) -> tuple[list[Path], list[str]]:
    """(files, complaints): what the inputs stand for, each file once, and a line for each input that gives nothing.

    An input is a file, a folder (searched deep for RAW_SUFFIXES, hidden files left out) or a pattern such as
    '2026/**/*.RAF', for shells that do not expand it. Results of lincfa are left out of folders and patterns.
    """
    files, complaints = [], []
    for name in inputs:
        named = os.path.lexists(name)
        found = [name] if named else sorted(glob.glob(name, recursive=True))
        if not found:
            complaints.append(f"{name}: {_why_nothing(name)}")
        for path in map(Path, found):
            if os.path.isdir(path):
                raws, troubles = _search(path)
                files += raws
                complaints += troubles or ([] if raws else [f"{path}: no raw files in this folder"])
            elif named or not is_result(path):
                files.append(path)
    return list({file.resolve(): file for file in reversed(files)}.values())[::-1], complaints


def plan(sources: Sequence[Path], output: str | None, suffix: str) -> list[Job]:
    """Where the result of each source goes; no two go to one file.

    output: None (beside the source, named NAME-lincfa), a folder (NAME), or for a single source a file, told by its
    own suffix. suffix: of the results, with its dot. Sources whose names meet in one folder are told apart by their
    suffix, then by their folder, then by a hash of their path: the names depend on the set of sources only.
    A source that is itself the result of another one (of an earlier run) is left out; a raw file never is.
    Raises PlanError for a file as the output of several sources, or of itself.
    """
    if output is not None and _is_file(output, suffix):
        if len(sources) > 1:
            raise PlanError(f"{output}: one file cannot hold {len(sources)} results; give a folder")
        if sources and Path(output).resolve() == sources[0].resolve():
            raise PlanError(f"{output}: a result is not written over its own source")
        return [Job(source, Path(output)) for source in sources]
    targets = _distinct({source: _folder_and_mark(source, output) for source in sources}, suffix)
    places = {target.resolve() for target in targets.values()}
    left_out = {source for source in targets if source.resolve() in places and _may_be_result(source)}
    return [Job(source, target) for source, target in targets.items() if source not in left_out]


def check_source(path: Path) -> None:
    """Find what LibRaw would call broken. Raises PlanError for an empty file, OSError where it cannot be read."""
    with open(path, "rb") as file:
        if not file.read(1):
            raise PlanError(f"{path}: empty file (0 bytes)")


def check_target(job: Job) -> None:
    """Of a target that is there: that it may pass for the job's result, and be replaced.

    Raises PlanError for a raw file, and for a DNG that says it was made from another file (lincfa.export.metadata);
    other formats do not say. OSError where the source cannot be read.
    """
    if not _may_be_result(job.target):
        raise PlanError(f"{job.target} is there and is no result of lincfa; give another -o")
    made_from = source_id(job.target)
    if made_from and not bytes.fromhex(file_sha256(job.source)).startswith(made_from):
        raise PlanError(
            f"{job.target} is there, made from another file (or this one was changed since); "
            "move it away, or give another -o"
        )


def names_folder(output: str) -> bool:
    """Whether an output is a folder whatever it is called: it is there, or ends with a slash."""
    return os.path.isdir(output) or output.endswith(("/", os.sep))


def _may_be_result(path: Path) -> bool:
    return path.suffix.lower() not in RAW_SUFFIXES or is_result(path)


def _why_nothing(name: str) -> str:
    try:
        os.lstat(name)
    except PermissionError as error:
        return f"cannot read it ({error.strerror})"
    except (OSError, ValueError):  # a name that no file can have
        pass
    return "no such file or folder"


def _search(folder: Path) -> tuple[list[Path], list[str]]:
    """Raw files of a folder in order, no results, and a line for each folder that could not be read."""
    found, troubles = [], []

    def complain(error: OSError) -> None:
        troubles.append(f"{error.filename}: cannot read this folder ({error.strerror})")

    for place, folders, names in os.walk(folder, onerror=complain):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        raws = (name for name in sorted(names) if Path(name).suffix.lower() in RAW_SUFFIXES)
        paths = [Path(place, name) for name in raws if not name.startswith(".")]
        found += [path for path in paths if not is_result(path)]
    return found, troubles


def _is_file(output: str, suffix: str) -> bool:
    """Whether an output names a file: it ends like a result and is no folder."""
    return not names_folder(output) and Path(output).suffix.lower() == suffix


def _folder_and_mark(source: Path, output: str | None) -> tuple[Path, str]:
    folder = source.parent if output is None else Path(output)
    return folder, MARK if folder.resolve() == source.parent.resolve() else ""


def _distinct(places: dict[Path, tuple[Path, str]], suffix: str) -> dict[Path, Path]:
    """Source -> target. Names that meet are made longer until they differ, also where case does not count."""
    stems = {source: source.stem for source in places}

    def target(source: Path) -> Path:
        folder, mark = places[source]
        return folder / f"{stems[source]}{mark}{suffix}"

    for longer in (_with_suffix, _with_folder, _with_both, _with_hash):
        count = Counter(_key(target(source)) for source in places)
        stems |= {source: longer(source) for source in places if count[_key(target(source))] > 1}
    return {source: target(source) for source in places}


def _key(path: Path) -> str:
    return str(path.resolve()).casefold()


def _with_suffix(source: Path) -> str:
    return f"{source.stem}-{source.suffix[1:].lower()}"


def _with_folder(source: Path) -> str:
    return f"{source.resolve().parent.name}-{source.stem}"


def _with_both(source: Path) -> str:
    return f"{source.resolve().parent.name}-{_with_suffix(source)}"


def _with_hash(source: Path) -> str:
    return f"{source.stem}-{hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:10]}"
