# What MicroPython has alike on every chip. What a chip's own module has too is taken from there.
import gc
import os
import sys
import time

import machine

# the unix port is the virtual board and the tests on the real VM
HARDWARE = "redpoll-" + ("unix" if sys.platform in ("linux", "darwin") else sys.platform)

# seconds from 1970 to where the chip begins to count, which is 2000 on an ESP32
EPOCH = 946684800 if time.gmtime(0)[0] == 2000 else 0


def wall_ms():
    """Milliseconds since 1970 UTC, or None while the chip does not know the time."""
    ms = time.time_ns() // 1000000 + EPOCH * 1000
    # before 2025 nobody has set it
    return ms if ms >= 1735689600000 else None


def unique_id():
    """The chip's own bytes, or None where it has none (then settings.json has to name the device)."""
    read = getattr(machine, "unique_id", None)
    return read() if read else None


def chip_name():
    """What the chip is called, such as "rp2040" or "esp32s3"; None where MicroPython does not say."""
    board, _, name = getattr(sys.implementation, "_machine", "").rpartition(" with ")
    return name.lower() if board else None


def folders(path):
    """Names of the folders in a folder of a flash file system; what else is mounted there is none of them."""
    # a mount point comes without a size
    return [entry[0] for entry in os.ilistdir(path) if entry[1] & 0x4000 and len(entry) > 3]


def free_heap():
    """Bytes that the Python heap has free, garbage not counted."""
    return gc.mem_free()


def largest_block():
    """Bytes of the largest piece that can still be had; None where the port cannot tell."""
    return None


def print_exception(error, file=None):
    """Write the traceback of a caught exception."""
    sys.print_exception(error, file or sys.stdout)


def tls_client(authorities, certificate, key):
    """An SSLContext that verifies; each argument a list of (PEM label, DER bytes), the last two may be None."""
    # underneath `ssl`, which costs a module more and is not on every port
    import tls

    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_REQUIRED
    for _, der in authorities:
        context.load_verify_locations(der)
    if certificate:
        context.load_cert_chain(certificate[0][1], key[0][1])
    return context


def tls_wrap(context, sock, host):
    """The TLS side of a connected, non-blocking socket; the handshake goes on with each write or read."""
    import tls

    if context.verify_mode != tls.CERT_REQUIRED:
        raise ValueError("the SSLContext does not verify the server")
    return context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)


def reset():
    """Restart the board. Where there is none (a test on the bare VM), the program ends."""
    restart = getattr(machine, "reset", None)
    if restart:
        restart()
    raise SystemExit("reset")


def reset_cause():
    """Why the board started: "power_on", "hard_reset", "watchdog", "deep_sleep", "soft_reset"; None where nothing tells (the bare VM)."""
    read = getattr(machine, "reset_cause", None)
    if read:
        cause = read()
        for name, constant in (
            ("power_on", "PWRON_RESET"),
            ("hard_reset", "HARD_RESET"),
            ("watchdog", "WDT_RESET"),
            ("deep_sleep", "DEEPSLEEP_RESET"),
            ("soft_reset", "SOFT_RESET"),
        ):
            # no chip has all of them
            if cause == getattr(machine, constant, None):
                return name
    return None


def watchdog(timeout_ms):
    """Something with feed(): the board restarts when it is not called for so long. None where there is none."""
    kind = getattr(machine, "WDT", None)
    return kind(timeout=timeout_ms) if kind else None


def deep_sleep(ms, feed):
    """Off for so long, then a start; `feed` keeps the watchdog quiet."""
    machine.deepsleep(ms)
