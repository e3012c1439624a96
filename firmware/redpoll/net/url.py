# URLs of servers. A client that is given host and port does without.

_PORTS = {"http": 80, "https": 443, "mqtt": 1883, "mqtts": 8883}


def parse_url(url):
    """URL -> (scheme, host, port, path with query). ValueError says what is wrong without repeating the URL."""
    scheme, sep, rest = url.partition("://")
    scheme = scheme.lower()
    if not sep or scheme not in _PORTS:
        raise ValueError("URL: http://, https://, mqtt:// or mqtts:// only")
    rest = rest.split("#", 1)[0]
    end = min([i for i in (rest.find("/"), rest.find("?")) if i >= 0] or [len(rest)])
    path = rest[end:]
    if not path.startswith("/"):
        path = "/" + path
    for char in rest:
        if not " " < char < "\x7f":
            raise ValueError("URL with spaces, control or non-ASCII characters")
    host, port = _authority(rest[:end])
    return scheme, host, port or _PORTS[scheme], path


def _authority(text):
    if "@" in text:
        raise ValueError("URL with a user name or password")
    if text.startswith("["):
        host, sep, rest = text[1:].partition("]")
        if not sep or rest and not rest.startswith(":"):
            raise ValueError("URL: an IPv6 address must be in brackets")
        port = rest[1:]
    else:
        host, rest, port = text.partition(":")
        if ":" in port:
            raise ValueError("URL: an IPv6 address must be in brackets")
    if not host:
        raise ValueError("URL names no host")
    if rest and not (port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("URL: the port is 1 to 65535")
    return host, int(port) if rest else 0
