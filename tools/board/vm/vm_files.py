# Puts files onto the virtual board's flash and takes them off it, while the board is off. The host leaves a job (JSON) and gets an answer.
import json
import os

import vfs
import vm_flash

_CHUNK = 4096


def _is_folder(path):
    return bool(os.stat(path)[0] & 0x4000)


def _same(one, other):
    try:
        a = open(one, "rb")
    except OSError:
        return False
    with a, open(other, "rb") as b:
        while True:
            chunk = a.read(_CHUNK)
            if chunk != b.read(_CHUNK):
                return False
            if not chunk:
                return True


def _copy(source, target):
    with open(source, "rb") as a, open(target, "wb") as b:
        while True:
            chunk = a.read(_CHUNK)
            if not chunk:
                return
            b.write(chunk)


def _make_folders(path):
    at = path.find("/", 1)
    while at > 0:
        try:
            os.mkdir(path[:at])
        except OSError as error:
            if error.errno != 17:  # EEXIST
                raise
        at = path.find("/", at + 1)


def _prune(folder, wanted):
    # remove what is not in `wanted`; returns how many files are left
    left = 0
    try:
        entries = list(os.ilistdir(folder))
    except OSError:
        return 0
    for entry in entries:
        path = folder + "/" + entry[0]
        if _is_folder(path):
            kept = _prune(path, wanted)
            if not kept:
                os.rmdir(path)
            left += kept
        elif path in wanted:
            left += 1
        else:
            os.remove(path)
    return left


def _walk(folder, found):
    for entry in os.ilistdir(folder or "/"):
        path = folder + "/" + entry[0]
        if path == "/host":
            continue
        if _is_folder(path):
            _walk(path, found)
        else:
            found[path] = os.stat(path)[6]


def run(path):
    """Do the job in the host's file `path`, print the answer."""
    with open(path) as file:
        job = json.load(file)
    flash = vm_flash.Flash(job["flash"], job["block_size"], job["blocks"])
    vfs.mount(vm_flash.mount(flash, None, job["program"]), "/host")
    wanted = {target for _, target in job["put"]}
    for folder in job["prune"]:
        _prune(folder, wanted)
    written = 0
    for source, target in job["put"]:
        source = "/host" + source
        if not _same(target, source):
            _make_folders(target)
            _copy(source, target)
            written += 1
    missing = []
    for source, target in job["get"]:
        try:
            _copy(source, "/host" + target)
        except OSError as error:
            if error.errno != 2:  # ENOENT
                raise
            missing.append(source)
    found = {}
    if job["list"]:
        _walk("", found)
    print(json.dumps({"written": written, "missing": missing, "files": found}))
