# Why an update ends, or begins again.


class Failed(Exception):
    """The update ends: statusCode and message of its final event."""


class BadBundle(Exception):
    """It is not one that this device takes; the text says why."""


class Changed(Exception):
    """The bundle is another one than a moment ago."""
