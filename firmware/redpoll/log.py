# What the console shows, and the last lines of it kept for a dump. Secrets are struck out before anything is written.
import io

from micropython import const

from . import port

_KEEP = const(60)  # lines
_WIDTH = const(200)  # characters

_lines = []
_secrets = []
_once = []
_start = port.ticks_ms()
_seconds = 0


def hide(secret):
    """Never show this text from now on."""
    # a one-letter "secret" would strike out half of every line
    if secret and len(secret) > 3:
        # those in use are hidden again and again, so that the oldest is one that is no longer
        if secret in _secrets:
            _secrets.remove(secret)
        _secrets.append(secret)
        if len(_secrets) > 8:
            _secrets.pop(0)


def redact(text):
    """The text without the secrets that are known, and without NUL, for which a cloud may refuse a whole message."""
    text = text.replace("\0", "")
    for secret in _secrets:
        if secret in text:
            text = text.replace(secret, "***")
    return text


def info(form, *values):
    """Write one line: `form % values`, cut at 200 characters, control characters struck out."""
    _write("", form, values)


def once(form, *values):
    """The same as info, but nothing when the form and its first two values are among the last 32 that came here.

    For what every connection or message would say again; a reason that stands third may be another one each time.
    """
    said = (form, values[:2])
    if said not in _once:
        if len(_once) >= 32:
            _once.pop(0)
        _once.append(said)
        info(form, *values)


def warning(form, *values):
    """The same for what somebody should look at."""
    _write("warning: ", form, values)


def describe(error):
    """An exception as a person wants to read it, without secrets."""
    text = redact(str(error))
    name = type(error).__name__
    if isinstance(error, OSError) and error.args and isinstance(error.args[0], int) and -4096 < error.args[0] < 0:
        # the numbers of getaddrinfo; those of mbedTLS lie below
        return "the host name was not found (%s)" % text
    return text if name == "Refused" else "%s: %s" % (name, text) if text else name


def traceback(error):
    """Where an exception came from, as text. MemoryError."""
    text = io.StringIO()
    port.print_exception(error, text)
    return redact(text.getvalue())


def trace(error):
    """Show on the console where an exception came from, if there is memory for it."""
    try:
        for line in traceback(error).rstrip().split("\n"):
            print(_plain(line))
    except MemoryError:
        pass


def seconds():
    """Whole seconds since the start."""
    _now()
    return _seconds


def lines():
    """The last 60 lines."""
    return _lines[:]


def _now():
    # counts the whole seconds that have passed, so that the wrap of the ticks does not show; returns the rest in ms
    global _start, _seconds
    passed = port.ticks_diff(port.ticks_ms(), _start)
    _start = port.ticks_add(_start, passed // 1000 * 1000)
    _seconds += passed // 1000
    return passed % 1000


def _plain(text):
    # what a server or a sensor sent must not steer the terminal
    for char in text:
        if ord(char) < 32 or ord(char) == 127:
            return "".join([c if 32 <= ord(c) != 127 else "?" for c in text])
    return text


def _write(mark, form, values):
    ms = _now()
    text = redact(mark + (form % values if values else form))[:_WIDTH]
    line = "[%5d.%03d] %s" % (_seconds, ms, _plain(text))
    if len(_lines) >= _KEEP:
        _lines.pop(0)
    _lines.append(line)
    print(line)
