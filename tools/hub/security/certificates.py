"""The certificates of a running hub: made when it starts, looked after while it runs."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from pathlib import Path

from tools.hub.security.authority import SERVER_FILE, Authority, own_hosts, server_context

log = logging.getLogger("redpoll.hub.tls")

_LOOK_SECONDS = 3600.0  # a certificate is renewed weeks before it expires; addresses change more often


class Certificates:
    """The CA of a data directory and the hub's own certificate of it, for this machine's hosts and `more`."""

    def __init__(self, folder: Path, *more: str | None) -> None:
        """Raises OSError, and ValueError when a key file of the directory cannot be used."""
        self._folder = folder
        self._more = more
        self.authority = Authority.kept(folder)
        self.authority.serve(folder, own_hosts(*more))
        self.path = folder / SERVER_FILE
        self.context: ssl.SSLContext = server_context(self.path)

    async def look_after(self, on_change: Callable[[], None]) -> None:
        """Renew the certificate when it is due or this machine has another address, and tell then; until cancelled."""
        unread = False
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                unread |= await asyncio.to_thread(lambda: self.authority.serve(self._folder, own_hosts(*self._more)))
                if unread:
                    self.context.load_cert_chain(self.path)
                    unread = False
                    log.info("the hub has a new certificate")
                    on_change()
            except (OSError, ValueError) as error:
                log.error("the certificate cannot be renewed: %s", error)
