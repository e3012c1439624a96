# Clouds, one module for each and its transport, and who else is told. Here is what every connection to a cloud begins with.
from .. import log, port


def server(settings, url):
    """Where this URL leads -> (host, port, an SSLContext that verifies it; None where the scheme has no TLS, which is logged once)."""
    from ..net.url import parse_url

    port.unload("net.url")
    scheme, host, number, _ = parse_url(url)
    context = None
    if scheme in ("https", "mqtts"):
        from ..net import tls

        context = tls.context(settings.ca or None)
    else:
        log.once("%s: not encrypted", url)
    return host, number, context
