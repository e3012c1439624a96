"""Errors as texts for a person."""


def told(error: Exception) -> str:
    """What went wrong; with one of the operating system which file it was about, and the reason."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error)
