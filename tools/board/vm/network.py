# A chip's `network`: one Wi-Fi station. Every access point is there with every password, unless the host says otherwise.
import socket
import time
from binascii import unhexlify

import vm_control
from vm_control import ask, state, tell

STA_IF = 0
AP_IF = 1
_ESP32 = state["port"] == "esp32"
STAT_IDLE = 1000 if _ESP32 else 0
STAT_CONNECTING = 1001 if _ESP32 else 1
STAT_GOT_IP = 1010 if _ESP32 else 3
STAT_WRONG_PASSWORD = 202 if _ESP32 else -3
STAT_NO_AP_FOUND = 201 if _ESP32 else -2
STAT_CONNECT_FAIL = 203 if _ESP32 else -1
if _ESP32:
    STAT_BEACON_TIMEOUT = 200
    STAT_ASSOC_FAIL = 203
    STAT_HANDSHAKE_TIMEOUT = 204

# the host's page, tools/board/page.py
_ON = 0
_OFF = 1
_PASSWORD = 2
_NO_DHCP = 3
_NO_DNS = 4
_PORTAL = 5
# with these there is an address
_JOINED = (_ON, _NO_DNS, _PORTAL)
_LINK_NOIP = 2  # of a Pico W: let in, without an address

_TAKES = 50  # ms until the access point has answered
_NO_ADDRESS = "0.0.0.0"
_country = "XX"
_hostname = "mpy-esp32" if _ESP32 else "PicoW"
_started = None  # ticks of connect(), None before
# why an attempt has failed: on a Pico W until the next one, on an ESP32 until one has an address
_refused = None
_joined = False


def country(code=None):
    global _country
    if code is None:
        return _country
    if len(code) != 2:
        raise ValueError("invalid country code")
    _country = code
    return None


def hostname(name=None):
    global _hostname
    if name is None:
        return _hostname
    if len(name) > 32:
        raise ValueError
    _hostname = name
    return None


def _air():
    return vm_control.page()[0]


def _update():
    # what has become of the connection since somebody last looked
    global _joined, _started, _refused
    air = _air()
    if _joined and air not in _JOINED:
        _joined = False
        # an ESP32 tries again by itself for ever, a Pico W does not
        _started = time.ticks_ms() if _ESP32 else None
        _refused = None if _ESP32 else STAT_CONNECT_FAIL
    if _started is not None and time.ticks_diff(time.ticks_ms(), _started) >= _TAKES:
        if air in _JOINED:
            _joined, _started, _refused = True, None, None
        elif air != _NO_DHCP:
            _refused = STAT_NO_AP_FOUND if air == _OFF else STAT_WRONG_PASSWORD
            _started = time.ticks_ms() if _ESP32 else None
    return _joined


def _waits_for_address():
    # the access point has let it in, the DHCP server does not answer
    return _air() == _NO_DHCP and _started is not None and time.ticks_diff(time.ticks_ms(), _started) >= _TAKES


def _access_point(is_active=None):
    # its active(): off, for there is a station only
    if is_active:
        raise ValueError("the virtual board's Wi-Fi is a station only")
    return False if is_active is None else None


class WLAN:
    """The Wi-Fi interface. There is one; all instances are the same."""

    IF_STA = STA_IF
    IF_AP = AP_IF
    SEC_OPEN = 0
    PM_NONE = 0 if _ESP32 else 16
    PM_PERFORMANCE = 1 if _ESP32 else 10555714
    PM_POWERSAVE = 2 if _ESP32 else 17

    _active = bool(state["network"])
    _powered = _active  # does the radio have current?
    _ssid = state["network"] or ""
    _options = {"txpower": 20, "reconnects": -1, "pm": PM_PERFORMANCE, "channel": 6, "hidden": False, "security": 3}

    def __init__(self, interface_id=STA_IF):
        if interface_id == AP_IF:  # what a program switches off before it connects
            self.active = _access_point
            self.isconnected = _access_point
        elif interface_id != STA_IF:
            raise ValueError("invalid interface")

    def active(self, is_active=None):
        global _started, _joined
        if is_active is None:
            return WLAN._active
        WLAN._active = bool(is_active)
        if is_active:
            WLAN._powered = True
        else:
            self._leave()
        return None

    if not _ESP32:

        def deinit(self):
            self.active(False)
            WLAN._powered = False

    def connect(self, ssid=None, key=None, *, bssid=None):
        global _started, _refused
        if not WLAN._active:
            raise OSError("Wifi Not Started") if _ESP32 else OSError(1)
        if ssid is not None:
            if isinstance(ssid, bytes):
                ssid = ssid.decode()
            if not ssid or len(ssid) > 32:
                raise ValueError("ssid")
            if key and not 8 <= len(key) <= 64:
                raise ValueError("key")
            WLAN._ssid = ssid
        if _ESP32 and _started is not None:
            raise OSError("Wifi Internal State Error")  # as ESP-IDF has it while an attempt is under way
        if not _ESP32:
            _refused = None
        _started = time.ticks_ms()
        tell(b"wifi " + WLAN._ssid.encode())

    def disconnect(self):
        self._leave()

    def _leave(self):
        global _started, _joined, _refused
        if not _ESP32:
            _refused = None
        elif _update() or _waits_for_address():
            _refused = STAT_IDLE  # to have left on request is a reason too, told by this number
        _started, _joined = None, False
        tell(b"wifi")

    def isconnected(self):
        return _update()

    def status(self, param=None):
        _update()
        if param == "rssi":
            if not _joined and not _waits_for_address():
                raise OSError("Wifi Not Connected") if _ESP32 else OSError(1)
            return -52
        if param is not None:
            raise ValueError("unknown status param")
        if _joined:
            return STAT_GOT_IP
        if _refused is not None:
            return _refused
        if not _ESP32 and _waits_for_address():
            return _LINK_NOIP
        return STAT_IDLE if _started is None else STAT_CONNECTING

    def ifconfig(self, ip_mask_gateway_dns=None):
        if ip_mask_gateway_dns is not None:
            return None
        if not _update():
            return (_NO_ADDRESS,) * 4
        return ("192.168.4.2", "255.255.255.0", "192.168.4.1", "192.168.4.1")

    def ipconfig(self, *args, **kwargs):
        if kwargs:
            return None
        address, mask, gateway, _ = self.ifconfig()
        values = {"addr4": (address, mask), "gw4": gateway, "dhcp4": True, "has_dhcp4": address != _NO_ADDRESS}
        return values[args[0]]

    def config(self, *args, **kwargs):
        if kwargs:
            for name in kwargs:
                if name == "hostname" or name == "dhcp_hostname":
                    hostname(kwargs[name])
                elif name in WLAN._options:
                    WLAN._options[name] = kwargs[name]
                else:
                    raise ValueError("unknown config param")
            return None
        name = args[0]
        if name == "mac":
            return unhexlify(state["unique_id"])
        if name == "ssid" or name == "essid":
            return WLAN._ssid
        if name == "hostname":
            return _hostname
        if name not in WLAN._options:
            raise ValueError("unknown config param")
        return WLAN._options[name]

    def scan(self):
        if not WLAN._active:
            raise OSError("Wifi Not Started") if _ESP32 else OSError(1)
        if _air() == _OFF:
            return []
        return [((WLAN._ssid or "redpoll").encode(), b"\x02\x00\x00\x00\x00\x01", 6, -52, 3, 1)]


if WLAN._active:
    # a soft reset leaves the Wi-Fi as it is
    _joined = _air() in _JOINED
    if not _joined and _ESP32:
        _started = time.ticks_ms()


_native_getaddrinfo = socket.getaddrinfo


def _getaddrinfo(host, port, *more):
    # every address leads through the host's side (tools/board/air.py), which is the radio
    # without Wi-Fi a chip still has its own address
    if host in ("0.0.0.0", "::", "") or (host in ("127.0.0.1", "localhost") and not WLAN._active):
        return _native_getaddrinfo(host, port, *more)
    if not _update():
        raise OSError(-202 if _ESP32 else -2)
    answer = ask(b"resolve %s %d" % (host.encode(), port))
    if not answer.isdigit():
        raise OSError(-202 if _ESP32 else -2)
    return [
        (family, kind, protocol, host, address)
        for family, kind, protocol, _, address in _native_getaddrinfo("127.0.0.1", int(answer), *more)
    ]
