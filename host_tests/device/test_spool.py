from redpoll.flash.spool import Spool
from scratch import text_of


def bodies(spool):
    found = []
    while spool.peek():
        found.append(spool.peek()[2])
        spool.sent()
    return found


def test_messages_come_out_in_the_order_they_went_in():
    spool = Spool(100)
    for body in (b"one", b"two", b"three"):
        spool.append(0, body)
    assert bodies(spool) == [b"one", b"two", b"three"]


def test_what_was_not_acknowledged_is_sent_again_after_the_link_was_lost():
    spool = Spool(100)
    first = spool.append(0, b"one")
    spool.append(0, b"two")
    spool.append(0, b"three")
    spool.sent()
    spool.sent()
    spool.acknowledge(first)
    spool.rewind()
    assert bodies(spool) == [b"two", b"three"]


def test_acknowledgements_may_come_in_any_order():
    spool = Spool(100)
    numbers = [spool.append(0, bytes([48 + n])) for n in range(4)]
    for _ in range(3):
        spool.sent()
    spool.acknowledge(numbers[2])
    spool.acknowledge(numbers[0])
    spool.acknowledge(numbers[0])
    assert len(spool) == 2
    assert spool.peek()[2] == b"3"
    spool.rewind()
    assert bodies(spool) == [b"1", b"3"]


def test_a_full_spool_drops_the_oldest_and_counts_it():
    spool = Spool(10)
    for n in range(5):
        spool.append(n, bytes([48 + n]) * 4)
    assert spool.dropped == 3
    assert bodies(spool) == [b"3333", b"4444"]


def test_a_late_acknowledgement_of_a_dropped_message_is_harmless():
    spool = Spool(8)
    first = spool.append(0, b"1111")
    spool.sent()
    spool.append(0, b"2222")
    spool.append(0, b"3333")
    spool.acknowledge(first)
    assert bodies(spool) == [b"2222", b"3333"]


def test_a_message_larger_than_the_spool_is_refused_and_nothing_is_lost():
    spool = Spool(10)
    spool.append(0, b"1111")
    assert "does not fit" in text_of(ValueError, spool.append, 0, b"x" * 11)
    assert bodies(spool) == [b"1111"]
