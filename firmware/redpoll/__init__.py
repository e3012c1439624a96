# `from redpoll import Agent`. Resolved when asked for, so that a board which imports one part does not load all.
def __getattr__(name):
    if name == "Agent":
        from .agent import Agent

        return Agent
    raise AttributeError(name)
