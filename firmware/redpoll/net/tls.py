# Certificates and keys, in whatever form they come, for a TLS context. Loaded when the first TLS connection is made.
from .. import port as _port

# [context, its arguments], of the last one: it is 3 KB in one piece, which a heap that has run for a while may not have again
_last = []


def context(ca, cert=None, key=None):
    """An SSLContext that verifies the server's chain against `ca` and its host name. Each argument is PEM, DER or a file's name.

    ValueError when there is no CA, when only one of `cert` and `key` is given, or when one of them cannot be read as a certificate.
    """
    asked = ca, cert, key
    if asked not in _last:
        if not ca:
            raise ValueError("TLS needs a CA certificate to verify the server with")
        if bool(cert) != bool(key):
            raise ValueError("a client certificate and its key come together")
        _last.clear()
        made = _port.tls_client(_ders(ca, "CERTIFICATE"), cert and _ders(cert, "CERTIFICATE"), key and _ders(key, "PRIVATE KEY"))
        _last.extend((made, asked))
    return _last[0]


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
