# One start of a product on the MicroPython VM, from the import to acknowledged telemetry; tools/size/start.py starts it.
import gc
import json
import sys

gc.collect()
_AT_START = gc.mem_alloc()


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
    import redpoll.agent  # noqa: F401 - what is measured
    from redpoll import settings

    stages["import"] = _heap()
    read = settings.Settings("settings.json")
    stages["settings"] = _heap()
    del read
    from size_product import Product

    product = Product(wanted)
    stages["agent"] = peak = _heap()
    ample = gc.mem_free() > 1 << 20  # else it is to show that it runs in a small heap
    while not product.complete(messages):
        product.turn()
        if ample:
            peak = max(peak, _heap())
        if "connect" not in stages and product.agent.connected():
            stages["connect"] = _heap()
        if "telemetry" not in stages and product.sent:
            stages["telemetry"] = _heap()
    stages["done"] = _heap()
    if not ample:
        return
    names = [name for name in sys.modules if name.partition(".")[0] in ("redpoll", "umqtt")]
    print("\n" + json.dumps({"stages": stages, "peak": peak, "modules": names}))
