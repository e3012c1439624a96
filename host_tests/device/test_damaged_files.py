# Each file that the agent keeps, damaged in each way: that costs its value only, is told once, and never stops the boot.
import json
import os
import struct
from binascii import crc32

import scratch
from cloud_fakes import CREDENTIALS, MQTT
from mqtt_bench import Bench
from redpoll import log
from redpoll.flash.record import Record

# every boot has an agent of its own
HEAP = "512K"
TIMEOUT = 180
RECORDS = ("config", "commands", "health", "spool/next")


class Kept(Bench):
    """A bench that has lived: a configuration, a command, and messages on flash. Each boot is another one."""

    def __init__(self):
        empty("spool")
        empty(".")
        super().__init__(spool_hold=0)
        client = self.turn()
        client.deliver("config", {"version": 3, "interval": 60})
        client.deliver("commands", {"id": "c1", "name": "count"})
        self.turn()
        client.broken = OSError(104)
        MQTT.refuse = OSError(113)
        self.turn()
        self.turn(31000)
        del log._lines[:]

    def again(self):
        """Boot, and be there for a minute. Returns the MQTT client."""
        for client in MQTT.made:
            client.broken = OSError(104)
        MQTT.refuse = None
        del MQTT.made[:]
        self.start()
        self.turn()
        return self.turn(31000)


def empty(folder):
    """Remove the files of earlier lives."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        if name != "spool":
            os.remove(folder + "/" + name)


def records():
    return [name for name in os.listdir(".") if name.startswith("credentials-")] + list(RECORDS)


def lost(path):
    """How often the log says that this file is not usable."""
    return len([line for line in log.lines() if "warning: %s " % path in line])


def sealed(payload, magic=b"RPR1"):
    return magic + struct.pack("<II", len(payload), crc32(payload)) + payload


def works(bench):
    """It boots, reports, takes a configuration and runs a command."""
    client = bench.again()
    assert client.open and client.sent("telemetry")
    version = bench.agent.config_version() + 1
    client.deliver("config", {"version": version, "interval": 77})
    counted = bench.counted
    client.deliver("commands", {"id": "new-%d" % version, "name": "count"})
    bench.turn()
    assert bench.configured[-1] == {"interval": 77}
    assert bench.counted == counted + 1
    return client


def check(path, damaged):
    """The file damaged like this is told of once, and by no later boot."""
    bench = Kept()
    before = bench.agent
    scratch.write(path, damaged)
    works(bench)
    assert lost(path) == 1, (path, damaged, log.lines())
    agent = bench.agent
    # the others are what they were
    assert path == "config" or agent.config_version() == before.config_version() + 1
    assert path == "health" or agent._health.starts == before._health.starts + 1
    assert path == "commands" or agent.commands._ledger[0][0] == "c1"
    del log._lines[:]
    works(bench)
    assert lost(path) == 0, (path, damaged, log.lines())


def test_a_file_that_was_cut_off_zeroed_or_has_flipped_bits_is_told_of_once_and_costs_itself_only():
    for path in records_of_a_life():
        whole = scratch.read(path)
        for damaged in (
            b"",
            whole[:5],
            whole[:-1],
            bytes(len(whole)),
            flipped(whole, 1),
            flipped(whole, 9),
            flipped(whole, len(whole) - 1),
        ):
            check(path, damaged)


def test_a_record_of_a_future_format_is_told_of_once_and_costs_itself_only():
    for path in records_of_a_life():
        check(path, sealed(b'{"what": "ever"}', b"RPR2"))


def test_a_length_that_would_take_the_heap_is_not_believed():
    for path in records_of_a_life():
        check(path, b"RPR1" + struct.pack("<II", 0x7FFFFFFF, 0) + bytes(100))


def test_a_whole_record_with_something_else_in_it_is_told_of_once_and_costs_itself_only():
    for path in records_of_a_life():
        for value in OTHERS["credentials" if path.startswith("credentials") else path]:
            check(path, sealed(json.dumps(value).encode()))


OTHERS = {
    "config": (
        [], 5, "x", None, True, {}, {"version": "3", "values": {}}, {"version": True, "values": {}}, {"version": -1}, {"version": 1.5},
        {"version": 3, "values": []}, {"version": 3, "values": None}, {"version": 3, "values": {}, "before": 5},
        {"version": 3, "device": 5}, {"version": 3, "elsewhere": 5}, {"version": 3, "elsewhere": [5]}, {"version": 3, "elsewhere": [["a"]]},
        {"version": 3, "elsewhere": [["a", "b"]]},
    ),
    "commands": (
        {}, 5, "xyz", None, True, [5], ["abc"], [[]], [["c1", "done"]], [["c1", "done", "", ""]], [["c1", "done", None]],
        [[1, "done", ""]], [["c1", ["done"], ""]], [["c1", "in_progress", ""], {}],
    ),
    "health": ([], 5, "x", None, True, {}, {"starts": "3"}, {"starts": None}, {"starts": -1}, {"starts": 3, "exception": [1]}),
    "spool/next": (),
    "credentials": (
        [], 5, "x", None, True, {}, {"entry": "http://entry.example"}, dict(CREDENTIALS, id=5), dict(CREDENTIALS, access_key=None),
        dict(CREDENTIALS, hub_url="x"), dict(CREDENTIALS, mqtt_hub_url=[]),
    ),
}  # fmt: skip


def test_a_configuration_whose_values_do_not_fit_costs_those_values():
    bench = Kept()
    scratch.write("config", sealed(b'{"version": 3, "values": {"interval": "x", "other": 1}}'))
    works(bench)
    assert {} in bench.configured and {"interval": "x"} not in bench.configured


def test_link_settings_that_do_not_fit_are_left_out():
    for settings in ("5", "[]", '{"entry": 5}', '{"sn": "other"}', "null"):
        bench = Kept()
        scratch.write("config", sealed(('{"version": 3, "values": {"interval": 60, "settings": %s}}' % settings).encode()))
        client = bench.again()
        assert client.open and bench.agent.settings.entry == "http://entry.example"


def test_a_longer_ledger_of_another_firmware_is_cut_to_size():
    bench = Kept()
    scratch.write("commands", sealed(json.dumps([["c%d" % n, "done", ""] for n in range(40)]).encode()))
    works(bench)
    assert len(bench.agent.commands._ledger) == 16


def test_damaged_messages_cost_themselves_only():
    for damage in ("cut", "zeroed", "flipped", "version"):
        bench = Kept()
        waiting = len(bench.agent.spool)
        assert waiting
        name = "spool/" + [name for name in os.listdir("spool") if name.isdigit()][0]
        whole = scratch.read(name)
        scratch.write(
            name,
            {"cut": whole[:-3], "zeroed": bytes(len(whole)), "flipped": flipped(whole, 20), "version": b"RPS9" + whole[4:]}[damage],
        )
        works(bench)
        assert len(bench.agent.spool) == 0
        assert len([line for line in log.lines() if "spool: " in line and "damaged" in line]) == 1, log.lines()


def test_junk_among_the_messages_is_left_alone():
    bench = Kept()
    for name in ("0", "999999999999", "x", "12x"):
        scratch.write("spool/" + name, b"junk")
    works(bench)


def test_a_full_flash_does_not_stop_the_boot():
    bench = Kept()
    save = Record.save
    Record.save = scratch.full
    try:
        client = bench.again()
        assert client.open and client.sent("telemetry")
    finally:
        Record.save = save


def records_of_a_life():
    Kept()
    return records()


def flipped(data, at):
    changed = bytearray(data)
    changed[at] ^= 0x10
    return bytes(changed)
