"""What a virtual board's chip is and does: its profile, flash, partitions, pins, clock, sleep, Wi-Fi, and the network around it."""

import datetime
import re
import socket
import ssl
import time
import tomllib

import pytest
from certificates import make_certificates
from listening import listening
from long_run import LONG
from serial_client import Session, Wire

from tools.board.errors import BoardError
from tools.board.flash import FlashImage
from tools.board.process import Board
from tools.board.profile import Profile
from tools.hub.security import authority
from tools.paths import BOARDS, ROOT

CHIPS = [name for name in Profile.names() if Profile.load(name).is_chip]


@pytest.fixture
def make(tmp_path):
    """make(profile): a board that is on; it ends with the test."""
    boards = []

    def make_board(profile="esp32"):
        boards.append(Board(tmp_path / profile, board=profile, bare=True, terminal=tmp_path / f"tty-{profile}"))
        return boards[-1].start()

    yield make_board
    for board in boards:
        board.kill()


@pytest.mark.parametrize("name", CHIPS)
def test_a_board_is_what_its_profile_says(make, name):
    board = make(name)
    profile = board.profile
    with Session(board.port) as run:
        state = eval(
            run(
                "import gc, os, sys, machine, time\ngc.collect()\n"
                "print((gc.mem_free(), os.statvfs('/')[:3], sys.platform, os.uname().machine, time.gmtime(0)[0], len(machine.unique_id())))"
            )
        )
        heap = int(profile.heap.removesuffix("K")) * 1024
        # the VM's objects are wider than a chip's: half as much again
        assert heap * 1.4 < state[0] < heap * 1.6
        assert state[1] == (profile.flash_block, profile.flash_block, profile.flash_blocks)
        assert state[2:5] == (profile.port, profile.machine, profile.epoch)
        assert state[5] == (8 if profile.port == "rp2" else 6)
        if profile.watchdog_max_ms:
            longest = profile.watchdog_max_ms
            assert str(longest) in run(f"try:\n machine.WDT(timeout={longest + 1})\nexcept ValueError as error:\n print(error)")
            run(f"machine.WDT(timeout={longest})")
        has_partitions = run("try:\n import esp32; print(len(esp32.Partition.find()))\nexcept ImportError:\n print(-1)")
        apps = [one for one in profile.partitions if one.type == 0]
        assert int(has_partitions) == (len(apps) if apps else -1)


def test_the_partitions_keep_a_flashs_rules_and_the_bootloader_rolls_back(make):
    board = make()
    prepare = "import esp32, machine\nP = esp32.Partition\nrunning = P(P.RUNNING)\nidle = running.get_next_update()\n"
    with Session(board.port) as run:
        run(prepare)
        assert run("print(running.info()[4], idle.info()[4], P(P.BOOT).info()[4])") == "ota_0 ota_1 ota_0\n"
        assert run("print(idle.ioctl(4), idle.ioctl(5))") == "384 4096\n"
        # what was not erased can only lose ones
        assert run("b = bytearray(2)\nidle.writeblocks(0, b'\\xe9\\x0f', 0)\nidle.readblocks(0, b, 0)\nprint(b.hex())") == "e90f\n"
        assert run("idle.writeblocks(0, b'\\xf0\\xff', 0)\nidle.readblocks(0, b, 0)\nprint(b.hex())") == "e00f\n"
        assert "-5379" in run("try:\n idle.set_boot()\nexcept OSError as error:\n print(error)")
        run("idle.ioctl(6, 0)\nidle.readblocks(0, b, 0)\nassert b == b'\\xff\\xff'")
        run("idle.writeblocks(0, b'\\xe9' + bytes(4095))\nidle.set_boot()")
        assert run("print(P(P.BOOT).info()[4], P(P.RUNNING).info()[4])") == "ota_1 ota_0\n"
        assert "-258" in run("try:\n idle.readblocks(384, b)\nexcept OSError as error:\n print(error)")
    running = "import esp32; print(esp32.Partition(esp32.Partition.RUNNING).info()[4])"

    def after_reset():
        board.restart()
        with Session(board.port) as run:
            return run(running)

    assert after_reset() == "ota_1\n"  # on trial
    assert after_reset() == "ota_0\n"  # it did not confirm itself
    with Session(board.port) as run:
        run(prepare + "idle.set_boot()")
    assert after_reset() == "ota_1\n"
    with Session(board.port) as run:
        run("import esp32; esp32.Partition.mark_app_valid_cancel_rollback()")
    assert after_reset() == "ota_1\n"
    assert after_reset() == "ota_1\n"


def test_a_board_with_one_application_slot_has_nothing_to_update_into(make):
    with Session(make("esp32s3").port) as run:
        assert run("import esp32\nP = esp32.Partition\nprint(P(P.RUNNING).info()[4])") == "factory\n"
        assert "-261" in run("try:\n P(P.RUNNING).get_next_update()\nexcept OSError as error:\n print(error)")


def test_a_power_cut_at_any_write_leaves_a_board_that_boots_with_the_old_or_the_new_file(make):
    board = make("rpi_pico_w")
    change = "import os; f = open('new', 'w'); f.write('%s' * 9000); f.close(); os.rename('new', 'value'); print('wri' + 'tten')"
    look = b"v = open('value').read(); v[0] if v == v[0] * 9000 else 'torn'"
    value, n = b"", 0
    with Wire(board.port) as wire:
        wire.type(b"\r")
        wire.until(b">>> ")
        while True:
            n += 1 if LONG else 3
            new = chr(65 + n % 26)
            before = board.line_count
            board.cut_power_at_write(n)
            wire.type((change % new).encode() + b"\r")
            if board.wait_for("^written$|reset, cause: power on", 20, since=before)[0] == "written":
                break
            wire.until(b"information.\r\n>>> ")
            now = wire.ask(look)
            assert now == f"'{new}'\r\n".encode() or now == value or (not value and b"ENOENT" in now), n
            value = now if b"ENOENT" not in now else b""
    assert n > 6


def test_the_button_is_an_input_with_interrupts_and_outputs_can_be_seen(make):
    board = make()
    with Session(board.port) as run:
        run(
            "import machine, time\nseen = []\nb = machine.Pin(0, machine.Pin.IN, machine.Pin.PULL_UP)\n"
            "b.irq(lambda pin: seen.append(pin.value()), machine.Pin.IRQ_FALLING | machine.Pin.IRQ_RISING)\n"
            "machine.Pin(2, machine.Pin.OUT).on()"
        )
        assert board.pins == {"2": 1}
        for level, seen in ((False, "[0]\n"), (None, "[0, 1]\n")):
            before = run("print(len(seen))").strip()
            board.drive(0, level)
            wait = "end = time.ticks_add(time.ticks_ms(), 20000)\nwhile len(seen) == {} and time.ticks_diff(end, time.ticks_ms()) > 0:\n "
            assert run(wait.format(before) + "time.sleep_ms(10)\nprint(seen)") == seen
        assert "invalid pin" in run("try:\n machine.Pin(40)\nexcept ValueError as error:\n print(error)")


UNTIL = """
def until(done):
    end = time.ticks_add(time.ticks_ms(), 20000)
    while not done() and time.ticks_diff(end, time.ticks_ms()) > 0:
        time.sleep_ms(10)
"""


def test_a_timer_calls_during_sleeps(make):
    with Session(make().port) as run:
        run("import machine, time\nn = []\nt = machine.Timer(0)\nt.init(period=20, callback=lambda t: n.append(1))")
        run(UNTIL + "until(lambda: len(n) > 3)\nt.deinit()")
        assert int(run("k = len(n)\ntime.sleep_ms(60)\nassert len(n) == k\nprint(k)")) > 3


def test_a_callback_that_raises_is_told_and_ends_nothing_and_none_interrupts_another(make):
    with Session(make().port) as run:
        run("import machine, time\nn = []\none, two = machine.Timer(0), machine.Timer(1)")
        run("def raises(timer):\n n.append(0)\n raise ValueError('from a timer')\ndef sleeps(timer):\n n.append(1)\n time.sleep_ms(30)")
        run("one.init(mode=one.ONE_SHOT, period=20, callback=raises)\ntwo.init(period=10, callback=sleeps)")
        said = run(UNTIL + "until(lambda: n.count(1) > 2)\nprint('went on')\ntwo.deinit()")
        assert "ValueError: from a timer" in said and said.endswith("went on\n")
        assert run("print(n.count(0), n.count(1) > 2)") == "1 True\n"


def test_a_pin_that_becomes_an_input_no_longer_reads_what_it_put_out(make):
    with Session(make().port) as run:
        run("from machine import Pin\nout = Pin(4, Pin.OUT, value=1)")
        assert run("print(out.value(), Pin(4).value())") == "1 1\n"
        assert run("other = Pin(4, Pin.IN)\nprint(other.value(), out.value(), Pin(4, Pin.IN, Pin.PULL_UP).value())") == "0 0 1\n"
        assert run("other.init(Pin.OUT)\nprint(out.value())") == "1\n"


def test_what_programs_for_an_esp32_have_always_written_is_understood(make):
    with Session(make().port) as run:
        run("import machine, network\nradio = network.WLAN(network.AP_IF)\nradio.active(False)\nassert radio.active() is False")
        assert "station only" in run("try:\n radio.active(True)\nexcept ValueError as error:\n print(error)")
        run("adc = machine.ADC(machine.Pin(34))\nadc.atten(adc.ATTN_11DB)\nadc.width(adc.WIDTH_12BIT)\nassert adc.read() == 0")
        assert run("rtc = machine.RTC()\nrtc.memory('text')\nprint(rtc.memory())") == "b'text'\n"


@pytest.mark.parametrize(("name", "year", "kept"), [("esp32", 2000, True), ("rpi_pico_w", 2021, False)])
def test_the_clock_starts_at_its_first_day_and_keeps_what_it_was_set_to(make, name, year, kept):
    board = make(name)
    look = "import time, machine; print(time.localtime()[0], machine.RTC().datetime()[0])"
    with Session(board.port) as run:
        assert run(look) == f"{year} {year}\n"
        run("machine.RTC().datetime((2030, 2, 28, 3, 23, 30, 0, 0)); t = time.localtime()")
        assert run("print(t[:4] + (t[4] // 2,), 0 <= time.time() - time.mktime(t) < 60)") == "(2030, 2, 28, 23, 15) True\n"
    with Session(board.port) as run:  # a soft reset
        assert run(look) == "2030 2030\n"
    board.restart()
    with Session(board.port) as run:
        assert run(look) == ("2030 2030\n" if kept else f"{year} {year}\n")
    board.power_cut()
    with Session(board.port) as run:
        assert run(look) == f"{year} {year}\n"


def test_deep_sleep_ends_in_a_start_that_says_so_and_the_rtc_remembers(make):
    board = make()
    with Wire(board.port) as wire:
        wire.type(b"\r")
        wire.until(b">>> ")
        wire.ask(b"import machine; machine.RTC().memory(b'abc')")
        wire.type(b"machine.deepsleep(300)\r")
        wire.until(b"information.\r\n>>> ")
        assert wire.ask(b"import machine; machine.reset_cause(), machine.wake_reason(), machine.RTC().memory()") == b"(4, 4, b'abc')\r\n"


@pytest.fixture
def echo():
    """A TCP server that sends back what comes: its port."""

    def talk(link):
        while data := link.recv(65536):
            link.sendall(data)

    with listening(talk) as port:
        yield port


CONNECT = """
import network, socket, time
w = network.WLAN(network.STA_IF)
w.active(True)
w.connect('net', 'password')
def wait(want, ms=5000):
    end = time.ticks_add(time.ticks_ms(), ms)
    while w.isconnected() != want and time.ticks_diff(end, time.ticks_ms()) > 0:
        time.sleep_ms(20)
    return w.isconnected()
def reach(port):
    s = socket.socket()
    s.connect(socket.getaddrinfo('127.0.0.1', port)[0][-1])
    return s
def echoed(s, data, timeout=20):
    s.settimeout(timeout)
    s.write(data)
    got = b''
    try:
        while len(got) < len(data):
            got += s.recv(100)
    except OSError as error:
        return error.errno
    return got
print(wait(True))
"""


@pytest.mark.parametrize("name", ["esp32", "rpi_pico_w"])
def test_wifi_connects_is_lost_and_comes_back(make, echo, name):
    board = make(name)
    with Session(board.port) as run:
        assert "True" in run("import socket\ntry:\n socket.getaddrinfo('some.host', 1)\nexcept OSError:\n print(True)")  # no Wi-Fi yet
        assert run(CONNECT) == "True\n"
        assert run("print(w.ifconfig()[0] != '0.0.0.0', w.status() == network.STAT_GOT_IP, w.status('rssi') < 0)") == "True True True\n"
        assert run(f"s = reach({echo}); print(echoed(s, b'one'))") == "b'one'\n"
        board.wifi("off")
        assert run("print(wait(False))") == "False\n"
        assert run("print(echoed(s, b'two', 0.5))") in ("110\n", "11\n")  # silence, not an error
        assert "-" in run(f"try:\n reach({echo})\nexcept OSError as error:\n print(error)")
        board.wifi("on")
        if name == "rpi_pico_w":  # it does not come back by itself
            assert run("print(wait(True, 500))\nw.connect()") == "False\n"
        assert run("print(wait(True))") == "True\n"
        assert run(f"s = reach({echo}); print(echoed(s, b'three'))") == "b'three'\n"
        board.wifi("wrong-password")
        run("w.disconnect()\ntime.sleep_ms(50)\nw.connect('net', 'password2')\ntime.sleep_ms(250)")
        assert run("print(w.isconnected(), w.status() in (network.STAT_WRONG_PASSWORD, network.STAT_CONNECTING))") == "False True\n"
        run("w.disconnect()")
        board.wifi("no-dhcp")
        run("w.connect('net', 'password')\ntime.sleep_ms(300)")
        waits = "(False, 202)" if name == "esp32" else "(False, 2)"
        assert run("print((w.isconnected(), w.status()), w.status('rssi') < 0)") == f"{waits} True\n"
        board.wifi("no-dns")
        run("w.disconnect()\nw.connect('net', 'password')\nwait(True)")
        assert "-" in run(f"try:\n reach({echo})\nexcept OSError as error:\n print(error)")


@pytest.mark.parametrize(("name", "told"), [("esp32", [201, 201, 1010, 1000]), ("rpi_pico_w", [-2, 2, 3, 2])])
def test_an_esp32_tells_why_it_is_not_connected_until_it_has_an_address_and_a_pico_w_until_the_next_attempt(make, name, told):
    board = make(name)
    seen = []
    with Session(board.port) as run:
        run(CONNECT)
        for air in ("off", "no-dhcp", "on", "no-dhcp"):
            run("w.disconnect()")
            board.wifi(air)
            seen.append(int(run("w.connect()\ntime.sleep_ms(200)\nprint(w.status())")))
    assert seen == told


def test_wifi_outlives_a_soft_reset_and_not_a_hard_one(make):
    board = make()
    with Session(board.port) as run:
        run(CONNECT)
    with Session(board.port) as run:
        assert run("import network; print(network.WLAN().isconnected(), network.WLAN().config('ssid'))") == "True net\n"
    board.restart()
    with Session(board.port) as run:
        assert run("import network; print(network.WLAN().isconnected(), network.WLAN().active())") == "False False\n"


def test_the_network_can_be_silent_late_and_in_single_bytes(make, echo):
    board = make()
    with Session(board.port) as run:
        run(CONNECT)
        run(f"s = reach({echo})")
        assert run("print(echoed(s, b'abc'))") == "b'abc'\n"
        board.air.silent = True
        assert run("print(echoed(s, b'def', 0.5))") in ("110\n", "11\n")
        board.air.silent = False
        assert run("s.settimeout(20)\nprint(s.recv(3))") == "b'def'\n"
        board.air.delay = 0.2
        said = run("t = time.ticks_ms(); print(echoed(s, b'ghi'), time.ticks_diff(time.ticks_ms(), t))").split()
        assert said[0] == "b'ghi'" and int(said[1]) >= 400
        board.air.delay, board.air.dribble = 0.0, True
        assert run("print(echoed(s, bytes(300)) == bytes(300))") == "True\n"


def test_datagrams_pass_too(make):
    board = make()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, Session(board.port) as run:
        server.bind(("127.0.0.1", 0))
        run(CONNECT)
        run(
            f"u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nu.settimeout(5)\n"
            f"u.sendto(b'ping', socket.getaddrinfo('127.0.0.1', {server.getsockname()[1]})[0][-1])"
        )
        server.settimeout(10)
        data, sender = server.recvfrom(100)
        server.sendto(data + b" pong", sender)
        assert run("print(u.recvfrom(100)[0])") == "b'ping pong'\n"


ASK = """
def ask(host='time.example', timeout=20):
    try:
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        u.settimeout(timeout)
        u.sendto(b'\\x23' + bytes(39) + b'question', socket.getaddrinfo(host, 123)[0][-1])
        answer = u.recv(100)
    except OSError:
        return None
    assert len(answer) == 48 and answer[0] == 0x24 and 0 < answer[1] < 16 and answer[24:32] == b'question'
    return int.from_bytes(answer[40:44], 'big') - 2208988800
"""


@pytest.mark.parametrize("name", ["esp32", "rpi_pico_w"])
def test_whoever_is_asked_for_the_time_tells_it_unless_the_network_is_disturbed(make, name):
    board = make(name)
    air = board.air
    with Session(board.port) as run:
        run("import socket" + ASK)
        assert run("print(ask(timeout=0.5))") == "None\n"  # no Wi-Fi yet
        run(CONNECT)
        for host in ("pool.ntp.org", "192.0.2.1"):
            before = int(time.time())
            assert before <= int(run(f"print(ask('{host}'))")) <= time.time()
        for disturbed in ("ntp", "silent", "portal"):
            before = getattr(air, disturbed)
            setattr(air, disturbed, not before)
            assert run("print(ask(timeout=0.5))") == "None\n", disturbed
            setattr(air, disturbed, before)
            assert run("print(ask() is None)") == "False\n"
        for fault in ("off", "no-dns"):
            board.wifi(fault)
            assert run("print(ask(timeout=0.5))") == "None\n", fault
            board.wifi("on")
            run("w.disconnect()\nw.connect('net', 'password')\nwait(True)")
            assert run("print(ask() is None)") == "False\n"


@pytest.fixture
def tls_server(tmp_path, monkeypatch):
    """A TLS server that greets, certified yesterday: (its CA as DER, its port)."""
    # the hub's own begin in 2000
    monkeypatch.setattr(authority, "_NOT_BEFORE", datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1))
    make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")

    def greet(plain):
        with context.wrap_socket(plain, server_side=True) as link:
            link.sendall(link.recv(100))
            link.recv(100)

    with listening(greet) as port:
        yield (tmp_path / "ca.der").read_bytes(), port


GREET = """
import machine, tls
def greet(mode=tls.CERT_REQUIRED):
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = mode
    context.load_verify_locations(CA)
    raw = reach(PORT)
    raw.settimeout(5)
    try:
        link = context.wrap_socket(raw, server_hostname='localhost', do_handshake_on_connect=False)
        link.write(b'hello')
        return link.read(5)
    except ValueError as error:
        return error
    finally:
        raw.close()
"""
FUTURE = "The certificate validity starts in the future\n\n"
EXPIRED = "The certificate validity has expired\n\n"
IN = "b'hello'\n"


@pytest.mark.parametrize("name", CHIPS)
def test_a_certificate_of_yesterday_is_not_valid_yet_to_a_chip_that_was_not_told_the_time_since_its_power_came(make, tls_server, name):
    ca, port = tls_server
    board = make(name)
    prepare = CONNECT + GREET.replace("CA", repr(ca)).replace("PORT", str(port))
    with Session(board.port) as run:
        run(prepare)
        assert run("print(greet())") == FUTURE
        assert run("print(greet(tls.CERT_NONE))") == IN
        run("machine.RTC().datetime((2099, 1, 1, 3, 0, 0, 0, 0))")
        assert run("print(greet())") == EXPIRED
        run(ASK)
        run("t = time.gmtime(ask() - (946684800 if time.gmtime(0)[0] == 2000 else 0))")
        run("machine.RTC().datetime(t[:3] + (0,) + t[3:6] + (0,))")
        assert run("print(greet())") == IN
    with Session(board.port) as run:  # a soft reset
        run(prepare)
        assert run("print(greet())") == IN
    board.power_cut()
    with Session(board.port) as run:
        run(prepare)
        assert run("print(greet())") == FUTURE


def test_a_deep_sleep_leaves_an_esp32_the_time_and_is_a_light_one_with_a_reset_on_an_rp2(make):
    # which the radio ends at once
    asleep = {"esp32": b"machine.deepsleep(100)\r", "rpi_pico_w": b"network.WLAN().active(True); machine.deepsleep(60000)\r"}
    woken = {}
    for name in asleep:
        with Wire(make(name).port) as wire:
            wire.type(b"\r")
            wire.until(b">>> ")
            wire.ask(b"import machine, network; machine.RTC().datetime((2030, 2, 28, 3, 23, 59, 58, 0))")
            wire.type(asleep[name])
            wire.until(b"information.\r\n>>> ")
            woken[name] = wire.ask(b"import machine; machine.RTC().datetime()[0], machine.reset_cause()")
    assert woken == {"esp32": b"(2030, 4)\r\n", "rpi_pico_w": b"(2021, 3)\r\n"}


@pytest.mark.parametrize("name", ["rpi_pico_w", "rpi_pico2_w"])
def test_a_pico_w_sleeps_its_time_only_without_current_for_the_radio(make, name):
    with Session(make(name).port) as run:
        run(
            "import machine, network, time\ndef asleep(ms):\n t = time.ticks_ms()\n machine.lightsleep(ms)\n"
            " return time.ticks_diff(time.ticks_ms(), t)"
        )
        assert int(run("print(asleep(600))")) >= 600
        run("w = network.WLAN()\nw.active(True)")
        assert int(run("print(asleep(20000))")) < 10000
        run("w.active(False)")  # that alone leaves it on
        assert int(run("print(asleep(20000))")) < 10000
        run("w.deinit()")
        assert int(run("print(asleep(600))")) >= 600
        assert run("w.active(True)\nprint(w.active())") == "True\n"
        assert int(run("print(asleep(20000))")) < 10000


def test_an_rp2_reads_its_bootsel_button(make):
    board = make("rpi_pico_w")
    with Session(board.port) as run:
        run("import rp2")
        for down in (True, False):
            board.hold_bootsel(down)
            assert run("print(rp2.bootsel_button())") == f"{int(down)}\n"


def test_what_a_board_has_not_is_said(tmp_path):
    with Board(tmp_path, main=_idle(tmp_path)) as board:
        with pytest.raises(BoardError, match="has no Wi-Fi"):
            board.wifi("off")
        with pytest.raises(BoardError, match="has no button"):
            board.press()
        with pytest.raises(BoardError, match="without a terminal"):
            _ = board.port
    with pytest.raises(BoardError, match="is off"):
        board.cut_power_at_write(1)


def _idle(folder):
    main = folder / "idle.py"
    main.write_text("import time\nwhile True:\n    time.sleep_ms(10)\n")
    return main


def test_each_chip_board_has_what_flashing_needs():
    for name in CHIPS:
        profile = Profile.load(name)
        assert (
            profile.firmware["how"] in ("esptool", "uf2") and profile.firmware["file"] and profile.firmware["page"].startswith("https://")
        )
        assert profile.flash_offset + profile.flash_size <= profile.chip_size
        ends = 0x9000
        for part in profile.partitions:
            assert part.offset >= ends, part.name
            ends = part.offset + part.size
        if profile.partitions:
            assert profile.partitions[-1].name == "vfs" and ends == profile.chip_size
            assert (profile.partitions[-1].offset, profile.partitions[-1].size) == (profile.flash_offset, profile.flash_size)


def test_a_flash_is_its_owners_only_also_when_it_is_erased_that_others_could_read(tmp_path):
    image = FlashImage(tmp_path / "flash.img", Profile.load("rpi_pico_w"))
    for fresh in (False, True):
        image.create(fresh=fresh)
        assert image.path.stat().st_mode & 0o777 == 0o600
        image.path.chmod(0o644)  # as an earlier version made it


@pytest.mark.parametrize("timer", [False, True])
def test_an_asyncio_program_runs_at_its_own_pace(make, timer):
    with Session(make().port) as run:
        if timer:  # as boot.py has one: then interrupts are served during each wait
            run("import machine\nt = machine.Timer(0)\nt.init(mode=machine.Timer.PERIODIC, period=20, callback=lambda t: None)")
        run("import asyncio, time\nasync def nap():\n await asyncio.sleep_ms(50)\n return time.ticks_ms()")
        run("async def two():\n return await asyncio.gather(nap(), nap())")
        assert run("began = time.ticks_ms()\nends = asyncio.run(two())\nprint([t - began >= 49 for t in ends])") == "[True, True]\n"


def test_every_key_of_a_board_is_one_that_something_reads():
    def keys(table):
        for key, value in table.items():
            yield key
            for part in value if isinstance(value, list) else [value]:
                yield from keys(part) if isinstance(part, dict) else ()

    sources = "".join(path.read_text() for path in (ROOT / "tools").rglob("*.py"))
    for path in BOARDS.glob("*/board.toml"):
        assert [key for key in keys(tomllib.loads(path.read_text())) if not re.search(f"['\"]{key}['\"]", sources)] == [], path


def test_timers_and_interrupts_come_while_the_program_waits_for_its_sockets(make):
    with Session(make().port) as run:
        run("import machine, select, socket\nn = []\npoll = select.poll()")
        run("poll.register(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), select.POLLIN)")
        run("t = machine.Timer(0)\nt.init(mode=machine.Timer.ONE_SHOT, period=20, callback=lambda t: n.append(1))")
        assert run("for _ in poll.ipoll(100):\n pass\nprint(n)") == "[1]\n"
        run("t.init(mode=machine.Timer.ONE_SHOT, period=20, callback=lambda t: n.append(2))")
        run("poll.poll(100)")
        assert run("print(n)") == "[1, 2]\n"
