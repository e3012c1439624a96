# One start of a product on the MicroPython VM, from the import to acknowledged telemetry; tools/size/start.py starts it.
import gc
import json
import sys

gc.collect()
_AT_START = gc.mem_alloc()
_LONGEST = 50  # ms that a turn of the loop waits, so that a measurement is short


def _heap():
    gc.collect()
    return gc.mem_alloc() - _AT_START


def modules(names):
    """Import these, each after all that it imports itself; print what each leaves on the heap."""
    found = {}
    for name in names:
        before = _heap()
        __import__(name)
        found[name] = _heap() - before
    print(json.dumps(found))


def run(wanted, messages):
    """Run a product that has what is `wanted` ("config", "license") until that and so many messages have passed; print the stages."""
    gc.threshold(4096)  # keeps a small heap in one piece
    stages = {}
    from redpoll import port, settings
    from redpoll.agent import Agent

    stages["import"] = _heap()
    read = settings.Settings("settings.json")
    stages["settings"] = _heap()
    del read
    agent = Agent("settings.json", version="1.0.0")
    sent = [0]
    done = set()
    taken = agent.on_sent

    def on_sent(number, accepted=True):
        taken(number, accepted)
        if accepted:
            sent[0] += 1

    agent.on_sent = on_sent

    @agent.sensor(every=30)
    def climate():
        return {"temperature": 21.5, "humidity": 40, "fan": True, "name": "east hall"}

    if "config" in wanted:

        @agent.config(interval=(int, 5, 3600), label=(str, 0, 64))
        def apply(config):
            if config:
                done.add("config")

        @agent.command("blink", times=(int, 1, 20))
        def blink(times=3):
            done.add("command")
            return "blinked %d times" % times

    stages["agent"] = peak = _heap()
    ample = gc.mem_free() > 1 << 20  # else it is to show that it runs in a small heap
    while True:
        ms = agent.poll()
        if ample:
            peak = max(peak, _heap())
        if "connect" not in stages and agent.connected():
            stages["connect"] = _heap()
        if "telemetry" not in stages and sent[0]:
            stages["telemetry"] = _heap()
        if "license" in wanted and sent[0] and agent.licenses.valid("size"):
            done.add("license")
        if len(agent.spool) == 0:
            agent.telemetry.soon("climate")
            # as often as a laptop can, each message still has its turn of the loop
            if sent[0] >= messages and all(name in done for name in wanted):
                break
        if ms and not agent._link.wait(min(ms, _LONGEST)):
            port.sleep_ms(min(ms, _LONGEST))
    stages["done"] = _heap()
    if not ample:
        return
    names = [name for name in sys.modules if name.partition(".")[0] in ("redpoll", "umqtt")]
    print("\n" + json.dumps({"stages": stages, "peak": peak, "modules": names}))
