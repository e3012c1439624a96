# Clouds, one module for each and its transport, and who else is told. Here is what every connection to a cloud begins with.
from .. import log
from ..net.url import parse_url


def tls_for(settings, url):
    """What verifies the server of this URL, an SSLContext; None where the scheme has no TLS, which is logged once."""
    if parse_url(url)[0] in ("https", "mqtts"):
        from ..net.tls import context

        return context(settings.ca or None)
    log.once("%s: not encrypted", url)
    return None
