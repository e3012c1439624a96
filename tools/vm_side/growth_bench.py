# How the cost of one thing grows with its number, in a MicroPython of its own. tools/bench/growth.py starts it and reads its JSON.
import gc
import json
import os
import sys
import time

gc.collect()
_AT_START = gc.mem_alloc()
_LONGEST = 50  # ms that a turn of the loop waits
_NAMES = 50  # of readings: a device may have 64, its own heartbeat among them
_BODY = 150  # bytes of a message in the spool
_BLOCK = 4096


def _heap():
    gc.collect()
    return gc.mem_alloc() - _AT_START


def _tell(**figures):
    print(json.dumps(figures))


def _turn(agent):
    # one poll: (its us, what it allocated, ms until the next)
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    started = time.ticks_us()
    ms = agent.poll()
    us = time.ticks_diff(time.ticks_us(), started)
    allocated = gc.mem_alloc() - before
    gc.enable()
    return us, allocated, ms


def _rest(agent, ms):
    from redpoll import port

    ms = min(ms, _LONGEST)
    if ms and not agent.link.wait(ms):
        port.sleep_ms(ms)


def _settle(agent):
    # until nothing is on its way any more
    while not agent.connected() or len(agent.spool):
        _rest(agent, agent.poll())


def sensors(n, repeats, turns):
    """Turns of the loop in which n sensors are due and their message is sent, so many each time that a line is said to it."""
    from redpoll import Agent

    agent = Agent("settings.json", version="1.0.0")

    def add(number):
        @agent.sensor(every=3600)
        def reading():
            return {"reading_%02d" % (number % _NAMES): 20 + number / 10}

    for number in range(n):
        add(number)
    _settle(agent)
    for _ in range(repeats):
        _tell(ready=True)
        sys.stdin.readline()
        for _ in range(turns):
            agent.telemetry.soon("reading")
            agent.poll()
            _settle(agent)
    _tell(ready=False)
    sys.stdin.readline()
    agent.telemetry.soon("reading")
    allocated = _turn(agent)[1]
    _settle(agent)
    _tell(allocated=allocated, heap=_heap())
    sys.stdin.read()


def config(n):
    """Every turn in which a configuration of n declared keys is taken, for as long as it is let."""
    from redpoll import Agent, port

    agent = Agent("settings.json", version="1.0.0")
    applied = [False]

    def apply(config):
        applied[0] = bool(config)

    agent.config(**{"key_%04d" % number: (int, 0, 1000000) for number in range(n)})(apply)
    _settle(agent)
    _tell(ready=_heap())
    while True:
        us, allocated, ms = _turn(agent)
        if applied[0]:
            applied[0] = False
            _tell(turn=us, allocated=allocated, heap=_heap())
        # not on the link: what comes meanwhile is to be taken in the turn
        port.sleep_ms(2)


def spool(n, most):
    """n messages that waited on flash: the next start, what it takes, and how fast they can be taken out again."""
    import vfs
    from flash_device import FlashDevice
    from redpoll import log
    from redpoll.clock import Clock
    from redpoll.flash.spool import Spool
    from spool_drain import drain

    log.print = lambda *_: None
    # twice what they take, so that no spool is bounded by its flash
    device = FlashDevice(32 + 2 * n * _BODY // _BLOCK)
    vfs.VfsLfs2.mkfs(device, progsize=256)
    vfs.mount(vfs.VfsLfs2(device, progsize=256), "/flash")
    os.chdir("/flash")
    body = b"x" * _BODY

    def made():
        return Spool(8192, "spool", most, 300000, Clock(lambda: 0, lambda: 1628063144122))

    before = made()
    for _ in range(n):
        before.append(0, body)
    before.flush()
    dropped = before.dropped
    del before
    empty = _heap()
    started = time.ticks_us()
    spool = made()
    start = time.ticks_diff(time.ticks_us(), started)
    heap = _heap() - empty
    kept = len(spool)
    started = time.ticks_us()
    drain(spool)
    drained = time.ticks_diff(time.ticks_us(), started)
    _tell(start=start, heap=heap, kept=kept, dropped=dropped, rate=kept * 1e6 / max(drained, 1))


def soak(n, points):
    """n messages, acknowledged one after the other; the heap after each of so many equal parts of them."""
    from redpoll import Agent

    agent = Agent("settings.json", version="1.0.0")
    taken = agent.on_sent
    count = [0]

    def on_sent(number, accepted=True):
        taken(number, accepted)
        count[0] += accepted

    agent.on_sent = on_sent

    @agent.sensor(every=3600)
    def climate():
        return {"temperature": 20 + count[0] % 100 / 10, "humidity": 40, "fan": True, "count": count[0]}

    part = 1
    while part <= points:
        ms = agent.poll()
        if count[0] >= n * part // points:
            _tell(sent=count[0], heap=_heap())
            part += 1
        if len(agent.spool) < 4:
            agent.telemetry.soon("climate")
        else:
            _rest(agent, ms)
    _tell(done=count[0])
    sys.stdin.read()
