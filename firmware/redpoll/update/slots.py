# The two places for the application on the file system, and which of them boots.
#
# /slot_a and /slot_b hold an application each: main.py, redpoll/, lib/. What lies in the root is the one that a board was set up with;
# it boots as long as there is no other. boot.py changes into the folder of the slot that runs and puts it on sys.path, so that main.py
# and all imports come from there; settings.json and the state files stay in the root.
#
# A slot counts as complete when it is sealed: its manifest.sig is written last and removed first.
# /boot.state (flash.record): "slot" is the confirmed one, "" the root; "trial" the one to be tried and "left" how often it may still be
# started; "boots" counts starts since one was good (update.good). boot.py takes one off "left" before it starts the trial; when none is
# left (or it cannot be counted, or the slot is not sealed) the confirmed one runs, and that "trial" is still there says that it was
# rolled back.
# "image" is there for one start, in which boot.py has the watchdog look after a new firmware image (update.image).
# With ten starts in a row that were not good, boot.py goes into safe mode: the agent without main.py.
#
# To put files into place by another way than an update (redpoll deploy):
#
#     slots = Slots()
#     slot = slots.idle()
#     slots.unseal(slot)                    # from here on it does not boot
#     ...                                   # write the files, manifest.json among them, into slots.folder(slot)
#     slots.seal(slot, b"")                 # it is complete
#     slots.switch(slot)                    # the next start tries it, three times at most
#
# The agent confirms a trial once the cloud has acknowledged a message from it. What is not to be tried is confirmed with
# slots.switch(slot, 0).
import os
import sys

from micropython import const

from ..flash.record import Record

_TRIALS = const(3)  # starts
SEAL = "manifest.sig"
MANIFEST = "manifest.json"


class Slots:
    """`root` is where the file system begins: "" on a board."""

    def __init__(self, root=""):
        self._root = root
        self._record = Record(root + "/boot.state")
        state = self._record.load({})
        self._state = state if isinstance(state, dict) else {}

    def folder(self, slot):
        """The folder of the slot "a" or "b"; "" gives that of the root, also as a prefix for paths."""
        return self._root + ("/slot_" + slot if slot else "")

    def running(self):
        """The slot whose code runs: "a", "b" or "" for the root."""
        for slot in ("a", "b"):
            if self.folder(slot) in sys.path:
                return slot
        return ""

    def idle(self):
        """The slot that may be written: neither running nor confirmed. RuntimeError while one is on trial: both are needed then."""
        used = self.running()
        if self._state.get("trial") == used:
            raise RuntimeError("a slot is on trial")
        return "b" if (used or self._state.get("slot")) == "a" else "a"

    def on_trial(self):
        """True when the code that runs is on trial."""
        return self._state.get("trial") == self.running()

    def rolled_back(self):
        """The slot whose trial failed, until clear(); "" when there is none."""
        trial = self._state.get("trial")
        return trial if trial in ("a", "b") and trial != self.running() else ""

    def sealed(self, slot):
        """True when the slot is complete."""
        try:
            os.stat(self.folder(slot) + "/" + SEAL)
            return True
        except OSError:
            return False

    def unseal(self, slot):
        """Make the folder of the slot if need be; it does not boot any more. OSError when the flash fails."""
        try:
            os.remove(self.folder(slot) + "/" + SEAL)
        except OSError as error:
            if error.errno != 2:  # ENOENT
                raise
        try:
            os.mkdir(self.folder(slot))
        except OSError as error:
            if error.errno != 17:  # EEXIST
                raise

    def seal(self, slot, signature):
        """All files are there: the slot may boot. OSError when the flash fails."""
        path = self.folder(slot) + "/" + SEAL
        with open(path + ".new", "wb") as file:
            file.write(signature)
        os.rename(path + ".new", path)

    def switch(self, slot, trials=_TRIALS):
        """From the next start on the slot is tried, so often; 0: it is confirmed at once. ValueError unless it is sealed, OSError."""
        if not self.sealed(slot):
            raise ValueError("slot %s is not complete" % slot)
        if trials:
            self._save({"slot": self._state.get("slot", ""), "trial": slot, "left": trials, "boots": 0})
        else:
            self._save({"slot": slot, "boots": 0})

    def guard(self):
        """A firmware image is tried at the next start. OSError when the flash fails."""
        self._save({"slot": self._state.get("slot", ""), "boots": 0, "image": 1})

    def confirm(self):
        """What runs has proved itself: from now on it is the one that boots. OSError when the flash fails; then nothing has changed."""
        self._save({"slot": self.running(), "boots": 0})

    def clear(self):
        """A trial that was rolled back is dealt with; its slot does not boot any more."""
        slot = self.rolled_back()
        if slot:
            self.unseal(slot)
            self._save({"slot": self._state.get("slot", ""), "boots": self._state.get("boots", 0)})

    def _save(self, state):
        self._record.save(state)
        self._state = state
