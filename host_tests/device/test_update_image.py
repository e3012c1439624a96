# A firmware image for an ESP32, from the request to its final event, on partitions with the rules of the real ones.
import sys

import bundle_maker as maker
import chip_fakes
import scratch
from partition_fakes import BLOCK, Flash, Power
from redpoll.flash.record import Record
from redpoll.update import image
from redpoll.update.updater import EDGEHOG, NOTICE
from update_bench import OTHER, URL, UUID, Bench

HEAP = "512K"
TIMEOUT = 120


def app(size=3 * BLOCK + 777, chip=0):
    """What looks like an application image."""
    head = bytearray(b"\xe9\x04\x02\x20" + bytes(28) + b"\x32\x54\xcd\xab")
    head[12] = chip
    body = bytes([(i * i + i // 7) % 251 for i in range(512)]) * (size // 512 + 1)
    return bytes(head) + body[: size - len(head)]


class Board(Bench):
    """A Bench on an ESP32 with this flash."""

    def __init__(self, content=None, blocks=8, slots=2, **about):
        port, _, _ = chip_fakes.play("esp32")
        image.port = port
        self.content = app() if content is None else content
        # which empties the folder
        Bench.__init__(self, [("firmware.bin", self.content)], **about)
        self.flash = Flash("app_flash", blocks, slots)
        sys.modules["esp32"].Partition = self.flash.Partition

    def restart(self):
        """The bootloader, then the agent. Returns the label of what runs."""
        label = self.flash.restart()
        self.start("", "1.1.0" if label == "ota_1" else "1.0.0")
        return label


def test_an_image_goes_into_the_idle_partition_and_is_confirmed_after_the_round_trip():
    board = Board()
    board.update()
    assert board.world.restarts == 1
    assert board.flash.image("ota_1", len(board.content)) == board.content
    assert board.flash.image("ota_1", 4 * BLOCK)[len(board.content) :] == b"\xff" * (BLOCK - 777)
    # boot.py is to watch the next start
    assert Record("boot.state").load() == {"slot": "", "boots": 0, "image": 1}
    assert board.statuses() == ["Acknowledged", "Downloading", "Deploying", "Deployed", "Rebooting"]
    assert [p for s, p, _ in board.said() if s == "Downloading"] == list(range(0, 101, 10))
    assert board.restart() == "ota_1"
    assert board.said()[-1] == ("Rebooting", 100, "")
    assert board.updater.waits()
    board.updater.round_trip()
    assert board.final() == ("Success", "", "")
    # it stays
    assert board.restart() == "ota_1" and board.restart() == "ota_1"
    board.updater.told(UUID)
    assert not board.updater.busy()


def test_the_applications_in_both_slots_stay_as_they_are():
    board = Board()
    kept = ["%s/%s" % (slot, name) for slot in ("slot_a", "slot_b") for name in ("main.py", "manifest.json", "manifest.sig")]
    for path in kept:
        scratch.write_below(".", path, path)
    board.update()
    assert board.world.restarts == 1
    for path in kept:
        assert scratch.read(path) == path.encode()


def test_what_fails_once_the_bootloader_is_told_does_not_end_the_update():
    board = Board()
    save = board.updater._record.try_save

    def short(stored):
        if "job" not in stored or stored["job"]["phase"] == "trial":
            raise MemoryError
        return save(stored)

    board.updater._record.try_save = short
    board.update()
    assert board.world.restarts == 1 and "Failure" not in board.statuses()
    assert board.restart() == "ota_1"
    board.updater.round_trip()
    assert board.final() == ("Success", "", "")


def test_the_next_image_goes_into_the_other_partition():
    board = Board()
    board.update()
    board.restart()
    board.updater.round_trip()
    board.update(OTHER)
    assert board.flash.image("ota_0", len(board.content)) == board.content
    assert board.restart() == "ota_0"


def test_an_image_that_nobody_confirms_is_rolled_back():
    board = Board()
    board.update()
    board.restart()
    board.turn_for(181000)
    assert board.world.restarts == 2
    assert board.restart() == "ota_0"
    assert board.final()[:2] == ("Failure", "SystemRollback")
    # and again: it is all there already
    sent = board.server.sent
    board.update(OTHER)
    assert board.server.sent - sent < 2048
    assert board.restart() == "ota_1"
    board.updater.round_trip()
    assert board.final(OTHER)[0] == "Success"


def test_a_power_cut_at_any_write_of_the_partitions_ends_in_one_final_event():
    whole = Board()
    whole.update()
    whole.restart()
    whole.updater.round_trip()
    writes = whole.flash.writes
    assert writes == 6  # four blocks, the choice, the confirmation
    for cut in range(1, writes + 1):
        board = Board()
        board.flash.cut_at = cut
        starts = 0
        assert board.updater.request(EDGEHOG, UUID, URL) is None
        while board.updater.job:
            starts += 1
            assert starts < 6, cut
            try:
                board.turn()
                if board.updater.waits():
                    board.updater.round_trip()
                    break
            except Power:
                pass
            board.restart()
        running = board.flash.running
        status, code, _ = board.final()
        # at the confirmation the bootloader goes back
        assert (status, code, running) == (("Failure", "SystemRollback", "ota_0") if cut == writes else ("Success", "", "ota_1")), cut


def test_a_power_cut_between_the_records_knows_what_runs():
    # the bootloader was told, the record does not say so yet
    board = Board()
    save = board.updater._save

    def cut():
        if board.updater.job["phase"] == "trial":
            raise Power
        save()

    board.updater._save = cut
    try:
        board.update()
        raise AssertionError
    except Power:
        pass
    assert board.restart() == "ota_1"
    board.updater.round_trip()
    assert board.final()[0] == "Success"
    # it was confirmed, the record does not say so yet
    board = Board()
    board.update()
    board.restart()

    def end(*values):
        raise Power

    board.updater._end = end
    try:
        board.updater.round_trip()
        raise AssertionError
    except Power:
        pass
    assert board.restart() == "ota_1"
    assert board.final()[0] == "Success"


def test_a_broken_connection_goes_on_where_it_broke():
    for ranges in (True, False):
        board = Board()
        board.server.ranges = ranges
        board.server.cuts = [5000, 9000]
        board.update()
        assert board.world.restarts == 1, board.said()
        assert board.flash.image("ota_1", len(board.content)) == board.content


def deflated(content, packed):
    """A board with a bundle that has the image in these packed bytes."""
    pack = maker.pack
    maker.pack = lambda data: (8, packed)
    try:
        return Board(content, name="deflated")
    finally:
        maker.pack = pack


def test_a_deflated_image_is_unpacked_on_the_way():
    content = app()
    board = deflated(content, maker.stored_blocks(content))
    board.update()
    assert board.flash.image("ota_1", len(content)) == content


def refused(board, code, text):
    """The update ends with this, nothing was written and the same image runs."""
    board.update()
    assert board.final()[:2] == ("Failure", code), board.final()
    assert text in board.final()[2], board.final()
    assert board.flash.writes == 0
    assert board.flash.restart() == board.flash.labels[0]


def test_a_board_without_a_second_partition_takes_no_image():
    refused(Board(slots=1), "InvalidBaseImage", "no second application partition")


def test_an_image_larger_than_the_partition_is_refused():
    refused(Board(blocks=3), "IOError", "the image has 13 KB, partition ota_1 12 KB")


def test_what_is_no_application_image_is_refused_before_anything_is_written():
    refused(Board(b"\xea" + app(5000)[1:]), "InvalidBaseImage", "no application image")
    refused(Board(b"\xe9 a bootloader" + bytes(5000)), "InvalidBaseImage", "no application image")
    refused(Board(b""), "InvalidBaseImage", "no application image")
    board = Board(app(5000, chip=9))
    board.flash.put("ota_0", app(512))
    refused(board, "InvalidBaseImage", "another chip")


def test_a_deflated_image_of_no_bytes_is_refused_before_anything_is_written():
    refused(deflated(app(), b""), "InvalidBaseImage", "not the file that was signed")


def test_an_image_is_judged_like_any_bundle():
    content = app(100)
    refused(Board(content, boards=["rp2"]), "InvalidBaseImage", "it is for rp2")
    refused(Board(content, micropython="9.0.0"), "InvalidBaseImage", "it needs MicroPython 9.0.0")
    refused(Board(content, version="0.9.0"), "InvalidBaseImage", "downgrade")


def test_a_board_that_is_no_esp32_takes_no_image():
    board = Board()
    image.port = chip_fakes.play("rp2")[0]
    refused(board, "InvalidBaseImage", "no second application partition")


def test_a_changed_image_never_boots():
    board = Board()
    at = board.server.data.index(board.content[:64]) + 9000
    board.server.data = board.server.data[:at] + bytes([board.server.data[at] ^ 1]) + board.server.data[at + 1 :]
    board.update()
    assert board.final()[1:] == ("InvalidBaseImage", "firmware.bin is not the file that was signed: its SHA-256 differs")
    assert board.restart() == "ota_0" and board.world.restarts == 0


def test_a_download_tells_how_far_it_is_and_that_it_is_complete_once_the_image_is_the_signed_one():
    board = Board()
    at = board.server.data.index(board.content[:64]) + len(board.content) - 1
    board.server.data = board.server.data[:at] + bytes([board.server.data[at] ^ 1]) + board.server.data[at + 1 :]
    board.server.pace = 512
    board.server.cuts = [len(board.server.data) - len(board.content) // 2]
    board.update()
    said = board.said()
    before = [progress for status, progress, _ in said[: said.index(("Error", 100, "NetworkError"))] if status == "Downloading"]
    assert 30 <= before[-1] <= 50
    assert [progress for status, progress, _ in said if status == "Downloading"][-1] == 90
    assert board.world.events[-2]["size"] == len(board.content)


def test_a_file_that_ends_within_the_image_is_asked_for_again():
    board = Board()
    board.server.data = board.server.data[: board.server.data.index(board.content[:64]) + 9000]
    board.update()
    assert board.final() == ("Failure", "NetworkError", "OSError: the file ends before the bundle does")
    assert [status for status, _, _ in board.said()].count("Error") == 4


def test_an_entry_of_another_name_is_refused_before_anything_is_written():
    board = Board()
    at = board.server.data.index(board.content[:64]) - 1
    board.server.data = board.server.data[:at] + b"X" + board.server.data[at + 1 :]
    refused(board, "InvalidBaseImage", "firmware.bin")


def test_an_image_may_fill_its_partition():
    board = Board(app(8 * BLOCK), blocks=8)
    board.update()
    assert board.world.restarts == 1 and board.flash.image("ota_1", 8 * BLOCK) == board.content


def test_a_partition_is_read_through_only_where_it_may_hold_the_image_and_then_once():
    board = Board()
    reads = []
    read = board.flash.Partition.readblocks

    def readblocks(partition, block, buffer, offset=0):
        reads.append((partition.label, block))
        read(partition, block, buffer, offset)

    board.flash.Partition.readblocks = readblocks
    whole = [("ota_1", block) for block in range(4)]
    board.update()
    # what it holds, which chip's the one is that runs, and what was written
    assert reads == [("ota_1", 0), ("ota_0", 0)] + whole
    board.restart()
    board.turn_for(181000)
    board.restart()
    del reads[:]
    board.update(OTHER)
    assert reads == whole


def test_an_image_that_the_bootloader_does_not_take_ends_the_update_before_it_is_deployed():
    board = Board()

    def set_boot(partition):
        raise OSError(-5379)

    board.flash.Partition.set_boot = set_boot
    board.update()
    assert board.final()[1] == "InvalidBaseImage" and "the image cannot be started" in board.final()[2]
    assert [progress for status, progress, _ in board.said() if status == "Deploying"] == list(range(0, 100, 10))
    assert board.restart() == "ota_0" and board.world.restarts == 0


def test_flash_that_fails_or_forgets_is_told():
    board = Board()
    board.flash.error = OSError(5)
    board.update()
    assert board.final()[:2] == ("Failure", "IOError")
    board = Board()
    put = board.flash.put

    def worn(label, data, at=0, erased=True):
        put(label, bytes([data[0] ^ 1]) + data[1:] if at == BLOCK and not erased else data, at, erased)

    board.flash.put = worn
    board.update()
    assert board.final()[:2] == ("Failure", "IOError"), board.final()
    assert "cannot be read as it was written" in board.final()[2]
    assert board.restart() == "ota_0"


def test_an_automatic_update_that_leaves_the_version_is_not_tried_for_ever():
    board = Board()
    assert board.updater.request(NOTICE, UUID, URL, "1.1.0") is None
    board.turn()
    board.flash.restart()
    board.start("", "1.0.0")  # an application in the file system comes before the image's own
    board.updater.round_trip()
    assert board.final()[0] == "Success" and board.updater.failed == "1.1.0"


def test_a_cancel_ends_it_until_it_is_deployed():
    board = Board()
    assert board.updater.request(EDGEHOG, UUID, URL) is None
    while not board.flash.writes:
        board.ticks.ms += board.updater.poll()
    assert board.updater.cancel(UUID)
    assert board.final()[:2] == ("Failure", "Canceled")
    assert board.restart() == "ota_0"
    board.update(OTHER)
    assert board.updater.cancel(OTHER) and board.restart() == "ota_1"
    board = Board()
    assert board.updater.request(EDGEHOG, UUID, URL) is None
    while not board.said() or board.said()[-1][0] != "Deploying":
        board.ticks.ms += board.updater.poll()
    assert board.updater.cancel(UUID)
    board.turn()
    assert board.restart() == "ota_1"


def test_an_automatic_update_of_an_application_whose_version_is_none_ends_too():
    board = Board()
    board.updater.request(NOTICE, UUID, URL, "1.1.0")
    board.turn()
    board.flash.restart()
    # Agent(version="build-17")
    board.start("", "build-17")
    board.updater.round_trip()
    assert board.final()[0] == "Success" and board.updater.failed == "1.1.0"
