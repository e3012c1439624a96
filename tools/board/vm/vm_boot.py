# Runs on the VM as the virtual board's ROM: mounts the flash, runs boot.py and main.py as a board does, tells how it ended.
import gc
import os
import sys

import machine  # noqa: F401 - the stand-in, while its folder is within reach; from now on every `import machine` is this one
import vm_control
import vm_flash

import __main__

# exit statuses, known to process.py
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
    except KeyboardInterrupt:
        print("KeyboardInterrupt")
        return _INTERRUPTED
    except BaseException as error:  # noqa: BLE001
        sys.print_exception(error, sys.stdout)
        return _RAISED
    return _RETURNED


def start():
    """The board from its start to the end of main.py."""
    state = vm_control.state
    vm_flash.mount(vm_flash.Flash(state["flash"], state["block_size"], state["blocks"]), "flash: no file system, formatting it")
    os.chdir("/")
    sys.path[:] = ["", ".frozen", "/lib"]
    gc.collect()
    status = _run("boot.py")
    if status in (_RETURNED, _RAISED):  # a boot.py that raises does not keep main.py from running
        status = _run("main.py")
    sys.exit(status)
