# Certificates and keys, in whatever form they come, for a TLS context. Loaded when the first TLS connection is made.
from .. import port as _port

# (its arguments, the context) of the last one: it is 3 KB in one piece, which a heap that has run for a while may not have again
_last = None


def context(ca, cert, key):
    """net.stream.tls_context."""
    global _last
    asked = (ca, cert, key)
    if not _last or _last[0] != asked:
        _last = None
        _last = (asked, _made(ca, cert, key))
    return _last[1]


def _made(ca, cert, key):
    if not ca:
        raise ValueError("TLS needs a CA certificate to verify the server with")
    if bool(cert) != bool(key):
        raise ValueError("a client certificate and its key come together")
    return _port.tls_client(_ders(ca, "CERTIFICATE"), cert and _ders(cert, "CERTIFICATE"), key and _ders(key, "PRIVATE KEY"))


def umqtt_context(params):
    """What umqtt's ssl=True means here: `params` (ssl_params) must name the CA as "cadata"; umqtt 1.3.4 verified nothing."""
    return context(params.get("cadata"), params.get("cert"), params.get("key"))


def _ders(source, kind):
    # PEM is undone here because not every board's TLS library can
    if isinstance(source, str) and "-----BEGIN" not in source:
        with open(source, "rb") as file:
            source = file.read()
    if isinstance(source, str):
        source = source.encode()
    if b"-----BEGIN" not in source:
        return [(kind, source)]
    from binascii import a2b_base64

    found = []
    for block in bytes(source).split(b"-----BEGIN ")[1:]:
        label, sep, rest = block.partition(b"-----")
        body, end, _ = rest.partition(b"-----END")
        label = label.decode()
        if sep and end and label.endswith(kind):
            found.append((label, a2b_base64(b"".join(body.split()))))
    if not found:
        raise ValueError("PEM without a " + kind)
    return found
