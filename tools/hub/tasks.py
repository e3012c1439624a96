"""Tasks of asyncio that run until they are no longer wanted."""

import asyncio
import contextlib
from typing import Any


async def cancel(task: asyncio.Task[Any]) -> None:
    """End it and wait until it has. Raises what it has raised by itself before."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
