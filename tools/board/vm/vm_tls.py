# A chip's `tls`: its mbedTLS takes the time that certificates are valid for from the chip's clock, the unix port's from this machine's.
import tls as _native
import vm_clock
from tls import *  # noqa: F403

_UTC_TIME = 0x17  # RFC 5280 §4.1.2.5.1: two digits of the year, from 1950 to 2049
_VERSION = 0xA0


def SSLContext(protocol):
    """The VM's own, which also looks at the chip's clock where the other side has to have a certificate."""
    context = _native.SSLContext(protocol)

    def verify(certificate, depth):
        if context.verify_mode == _native.CERT_REQUIRED:
            _check(certificate)
        return 0

    context.verify_callback = verify
    return context


def _check(certificate):
    begins, ends = _validity(certificate)
    now = "%04d%02d%02d%02d%02d%02d" % vm_clock.utc()[:6]
    # mbedTLS' words
    if now < begins:
        raise ValueError("The certificate validity starts in the future\n")
    if now > ends:
        raise ValueError("The certificate validity has expired\n")


def _validity(der):
    # when a certificate (RFC 5280 §4.1) begins and ceases to be valid, each as YYYYMMDDHHMMSS
    at, _ = _inside(der, _inside(der, 0)[0])
    if der[at] == _VERSION:
        _, at = _inside(der, at)
    for _ in range(3):  # serial number, algorithm, issuer
        _, at = _inside(der, at)
    at, _ = _inside(der, at)
    times = []
    for _ in range(2):
        start, end = _inside(der, at)
        text = bytes(der[start : end - 1]).decode()  # there is a Z at its end
        times.append(("19" if text >= "5" else "20") + text if der[at] == _UTC_TIME else text)
        at = end
    return times


def _inside(der, at):
    # where the content of what stands at `at` begins and ends
    length = der[at + 1]
    at += 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(der[at : at + count], "big")
        at += count
    return at, at + length
