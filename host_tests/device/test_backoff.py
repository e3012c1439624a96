from redpoll.backoff import Backoff


def test_the_ceiling_doubles_from_a_second_to_five_minutes():
    backoff = Backoff(random16=lambda: 65535)
    assert [backoff.next() for _ in range(11)] == [1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000, 256000, 300000, 300000]


def test_the_wait_is_anything_up_to_the_ceiling_and_never_below_a_second():
    backoff = Backoff(random16=lambda: 32768)
    waits = [backoff.next() for _ in range(4)]
    assert waits == [1000, 1000, 2000, 4000]
    backoff = Backoff(random16=lambda: 0)
    assert [backoff.next() for _ in range(12)] == [1000] * 12


def test_success_starts_again_from_a_second():
    backoff = Backoff(random16=lambda: 65535)
    for _ in range(6):
        backoff.next()
    backoff.reset()
    assert backoff.next() == 1000


def test_two_boards_do_not_wait_alike():
    waits = set()
    for _ in range(8):
        backoff = Backoff()
        for _ in range(9):
            backoff.next()
        waits.add(backoff.next())
    assert len(waits) > 1
