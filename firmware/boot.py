# Runs after every reset: picks the slot that runs (redpoll/update/slots.py). Never replaced over the air, so it needs nothing from a
# slot, goes on whatever it finds, fits a block of flash.
import gc

# collect early: a TLS handshake wants a large piece
gc.threshold(32768)


def _boot():
    global _timer
    import json
    import os
    import sys
    import time
    from binascii import crc32

    import machine

    def load():
        # a redpoll.flash.record
        try:
            with open("/boot.state", "rb") as file:
                data = file.read(512)
            size = int.from_bytes(data[4:8], "little")
            if data[:4] == b"RPR1" and int.from_bytes(data[8:12], "little") == crc32(data[12 : 12 + size]) and len(data) == 12 + size:
                return dict(json.loads(data[12:]))
        except (OSError, ValueError, TypeError):
            pass
        return {}

    def save():
        payload = json.dumps(state).encode()
        try:
            with open("/boot.state.new", "wb") as file:
                file.write(b"RPR1" + len(payload).to_bytes(4, "little") + crc32(payload).to_bytes(4, "little") + payload)
            os.rename("/boot.state.new", "/boot.state")
            return True
        except OSError as error:
            print("boot: /boot.state:", error)
            return False

    def sealed(slot):
        if slot not in ("a", "b"):
            return False
        try:
            os.stat("/slot_%s/manifest.sig" % slot)
            return True
        except OSError:
            return False

    def count(name):
        value = state.get(name)
        return value if isinstance(value, int) else 0

    def over(_):
        if load().get("trial"):
            machine.reset()

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
    # not a soft reset, as mpremote makes; the RP2 does not tell, but its ticks go on
    soft = getattr(machine, "SOFT_RESET", None)
    start = time.ticks_ms() < 10000 if soft is None else machine.reset_cause() != soft
    if trial and count("left") > 0 and sealed(trial):
        state["left"] = count("left") - 1
        # without a count a trial would have no end
        if save():
            slot = trial
            guard()
            # and be confirmed in time; an RP2 drops a timer without a name
            for number in (-1, 3):
                try:
                    _timer = machine.Timer(number, mode=machine.Timer.ONE_SHOT, period=4000000, callback=over)
                    break
                except (AttributeError, ValueError, OSError):
                    pass
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
            os.mkdir("/safe")
        except OSError:
            pass
        try:
            with open("/safe/main.py", "w") as file:
                file.write("from redpoll import Agent\n\nAgent().run()\n")
            if not slot:
                sys.path.insert(1, folder)
            folder = "/safe"
            print("boot: safe mode")
        except OSError as error:
            print("boot: no safe mode:", error)
    os.chdir(folder)


try:
    _boot()
except Exception as error:
    print("boot:", error)
del _boot
