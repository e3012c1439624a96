# `from redpoll import Agent`. Resolved when asked for, so that a board which imports one part does not load all.
def __getattr__(name):
    if name == "Agent":
        from .agent import Agent

        return Agent
    if name[0] == "_":
        raise AttributeError(name)
    # MicroPython asks here for `from . import log` too, before it looks for the module
    return __import__(__name__ + "." + name, None, None, (name,))
