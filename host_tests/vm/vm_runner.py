# Runs one device test on the MicroPython VM and says how it went; started by device_plugin.
import builtins
import gc
import sys

_SHOWN = 400  # characters of a value that a failed comparison shows


def _short(value):
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


def _compare(operator, left, right):
    # what assertion_values.with_values makes of `assert left == right`
    if operator == "==":
        holds = left == right
    elif operator == "!=":
        holds = left != right
    elif operator == "<":
        holds = left < right
    elif operator == "<=":
        holds = left <= right
    elif operator == ">":
        holds = left > right
    elif operator == ">=":
        holds = left >= right
    elif operator == "in":
        holds = left in right
    elif operator == "not in":
        holds = left not in right
    elif operator == "is":
        holds = left is right
    else:
        holds = left is not right
    if not holds:
        raise AssertionError(f"{_short(left)} {operator} {_short(right)}")
    return True


def run(module, function, token):
    """Import the module, call the function; the last line printed is the token and passed, failed or skipped with the reason."""
    builtins._compare = _compare
    if gc.mem_free() < 3 << 18:
        # as boot.py does; in the large heaps of some tests each collection takes long
        gc.threshold(32768)
    try:
        getattr(__import__(module), function)()
    except BaseException as error:  # noqa: BLE001 - sys.exit() inside a test is a failure of it
        if type(error).__name__ == "SkipTest":
            print("\n" + token, "skipped", " ".join(str(error).split()))
            return
        sys.print_exception(error, sys.stdout)
        print("\n" + token, "failed")
        return
    print("\n" + token, "passed")
