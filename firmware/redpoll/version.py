# The version of this firmware, and how versions compare.
import sys

VERSION = "0.1.0"


def running(default):
    """The version that the manifest of the running slot names; `default` where the application does not run from a slot."""
    for folder in sys.path:
        if folder[-7:] in ("/slot_a", "/slot_b"):
            try:
                with open(folder + "/manifest.json", "rb") as file:
                    # its keys are sorted: the version is near the end
                    file.seek(0, 2)
                    file.seek(max(0, file.tell() - 160))
                    found = file.read().rpartition(b'"version":"')[2].partition(b'"')
                if found[1]:
                    text = found[0].decode()
                    parse(text)
                    return text
            except (OSError, ValueError):
                pass
    return default


def parse(text):
    """Sort key of a version such as "1.10.2" or "v1.2.0-rc.1+build" (SemVer 2.0 §11). ValueError when it is none."""
    if not isinstance(text, str) or len(text) > 64:
        raise ValueError("version: a text of at most 64 characters")
    core, _, tail = text.split("+")[0].lstrip("v").partition("-")
    numbers = [int(part) for part in core.split(".")] if core.replace(".", "0").isdigit() and ".." not in core else None
    if not numbers or core[0] == "." or core[-1] == ".":
        raise ValueError("not a version: %r" % text)
    while len(numbers) < 3:
        numbers.append(0)
    # a release sorts after its pre-releases; in those, numbers sort before words
    marks = [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in tail.split(".")] if tail else [(2, 0, "")]
    return tuple(numbers), marks


def newer(a, b):
    """True when version `a` is higher than version `b`. ValueError when one of them is no version."""
    return parse(a) > parse(b)
