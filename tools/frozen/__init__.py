"""MicroPython with the agent frozen in."""
