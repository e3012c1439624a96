# Runs after every reset: picks the slot that runs (redpoll/update/slots.py). Never replaced over the air: it needs nothing from a slot,
# goes on whatever it finds, and fits a block of flash without these comments (tools/board/firmware.py takes them out).
import gc

# collect early: a TLS handshake wants a large piece
gc.threshold(32768)


def _start():
    import json
    import os
    import struct
    import sys
    import time
    from binascii import crc32

    import machine

    def head(payload):
        return b"RPR1" + struct.pack("<II", len(payload), crc32(payload))

    def load():
        # a redpoll.flash.record
        try:
            with open("/boot.state", "rb") as file:
                data = file.read(512)
            if data[:12] == head(data[12:]):
                return dict(json.loads(data[12:]))
        except (OSError, ValueError, TypeError):
            pass
        return {}

    def save():
        payload = json.dumps(state).encode()
        try:
            with open("/boot.state.new", "wb") as file:
                file.write(head(payload) + payload)
            os.rename("/boot.state.new", "/boot.state")
            return True
        except OSError as error:
            print("boot: /boot.state:", error)
            return False

    def sealed(slot):
        try:
            return slot in ("a", "b") and "manifest.sig" in os.listdir("/slot_" + slot)
        except OSError:
            return False

    def count(name):
        value = state.get(name)
        return value if isinstance(value, int) else 0

    def over(_):
        # a trial is over when it is confirmed; in any other start the agent takes the timer away (port.good) when it has run for a minute
        if slot != trial or load().get("trial"):
            print("boot: this start did not go well")
            machine.reset()

    def limit(name, ms):
        # an RP2 drops a timer without a name; port.good() and `redpoll deploy` know these
        for number in (-1, 3):
            try:
                globals()[name] = machine.Timer(number, mode=machine.Timer.ONE_SHOT, period=ms, callback=over)
                return
            except (AttributeError, ValueError, OSError):
                pass

    def watched():
        try:
            with open("/settings.json") as file:
                return json.load(file).get("watchdog", True)
        except (OSError, ValueError, AttributeError):
            # it is not provisioned
            return False

    def guard():
        # to be fed within 8 s
        try:
            machine.WDT(timeout=8388)
        except (AttributeError, ValueError, OSError) as error:
            print("boot: trial without a watchdog:", error)

    state = load()
    trial = state.get("trial")
    slot = state.get("slot", "a")
    if not sealed(slot):
        # none was confirmed, or it is gone: the other one, else the root
        slot = "b" if slot == "a" else "a"
        if not sealed(slot) or slot == trial or state.get("slot") == "":
            slot = ""
    state["slot"] = slot
    safe = False
    # not a soft reset, as mpremote's; the RP2 does not tell, but its ticks go on
    soft = getattr(machine, "SOFT_RESET", None)
    start = time.ticks_ms() < 10000 if soft is None else machine.reset_cause() != soft
    if trial and count("left") > 0 and sealed(trial):
        state["left"] = count("left") - 1
        # without a count a trial would have no end
        if save():
            slot = trial
            guard()
            limit("_trial", 4000000)
    elif start:
        safe = count("boots") >= 10
        state["boots"] = min(count("boots"), 98) + 1
        image = state.pop("image", 0)
        # an image is on trial: after a reset the bootloader goes back
        if save() and image:
            guard()
    folder = "/slot_" + slot if slot else "/"
    if slot:
        sys.path[1:1] = [folder, folder + "/lib"]
    if safe:
        # the agent runs, without main.py
        try:
            if "safe" not in os.listdir("/"):
                os.mkdir("/safe")
            with open("/safe/main.py", "w") as file:
                file.write("from redpoll import Agent\n\nAgent().run()\n")
            if not slot:
                sys.path.insert(1, folder)
            folder = "/safe"
            print("boot: safe mode")
        except OSError as error:
            print("boot: no safe mode:", error)
    os.chdir(folder)
    if start and slot != trial and watched():
        # main.py may end, or stand still, before the agent has its watchdog
        limit("_boot", 180000)


try:
    _start()
except Exception as error:
    print("boot:", error)
del _start
