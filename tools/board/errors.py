"""What goes wrong with a virtual board."""


class BoardError(RuntimeError):
    """The board cannot do what was asked of it; the text says why and, where there is a console, has its last lines."""
