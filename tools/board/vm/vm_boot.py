# Runs on the VM as the virtual board's ROM: mounts the flash, runs boot.py and main.py as a board does, then leaves to the REPL, or
# tells how it ended.
import gc
import os
import sys

import machine  # noqa: F401 - the stand-in, while its folder is within reach; from now on every `import machine` is this one
import micropython
import vm_control
import vm_flash

import __main__

# exit statuses, known to chip.py
_RETURNED = 0
_RAISED = 1
_SOFT_RESET = 4
_INTERRUPTED = 5


def _run(name):
    try:
        os.stat(name)
    except OSError:
        return _RETURNED
    try:
        execfile(name, __main__.__dict__)  # noqa: F821
    except SystemExit:
        return _SOFT_RESET  # sys.exit() on a board
    except KeyboardInterrupt as error:
        sys.print_exception(error, _native.stdout)
        return _INTERRUPTED
    except BaseException as error:  # noqa: BLE001
        sys.print_exception(error, _native.stdout)
        return _RAISED
    return _RETURNED


def _cut():
    vm_control.tell(b"power_cut")
    vm_control.halt()


def start():
    """The board from its start to the end of main.py."""
    micropython.kbd_intr(-1)  # nobody interrupts the ROM
    state = vm_control.state
    # the host takes this mark off the console: from here on input may come
    mark = state["mark"].encode()
    flash = vm_flash.Flash(state["flash"], state["block_size"], state["blocks"], vm_control, _cut)
    host = vm_flash.mount(flash, "flash: no file system, formatting it", state["program"])
    if state["network"] is None:
        # the board that is this machine measures it; mounted, its files would be cleared together with the flash
        sys.modules["this_machine"] = host
    os.chdir("/")
    sys.path[:] = ["", ".frozen", "/lib"]
    if _stand_ins:
        _stand_ins.install(flash, host)
    gc.collect()
    _native.stdout.write(mark + b"S")
    try:
        micropython.kbd_intr(3)
        status = _run("boot.py")
        if status in (_RETURNED, _RAISED) and not state["raw"]:  # a boot.py that raises does not keep main.py from running
            status = _run("main.py")
        if state["repl"]:
            micropython.kbd_intr(-1)
        for _ in range(2):
            pass  # a Ctrl-C that is under way comes here
    except KeyboardInterrupt:
        micropython.kbd_intr(-1)
        status = _INTERRUPTED
    if not state["repl"]:
        sys.exit(status)
    if status == _SOFT_RESET:
        vm_control.tell(b"soft_reset")
        vm_control.halt()
    vm_control.tell(b"ended %d" % status)
    _native.stdout.write(mark + b"B")  # the host puts the board's own first line in place of the VM's
    if _repl:
        _repl.run()
        sys.exit()


_native = sys
try:
    import vm_repl as _repl
except ImportError:
    _repl = None  # the VM goes over to its own
_stand_ins = None
if vm_control.state["network"] is not None:
    import vm_chip as _stand_ins
