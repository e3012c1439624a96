"""A program that goes when its starter goes: `python -m tools.hub.broker.leash PROGRAM ARGUMENTS...`.

Standard input is held by the starter; when it closes, whatever happened to the starter, the program is asked to end (SIGTERM, so that it
can save what it has) and after some seconds made to. Ends with the program's exit status, 128 and the signal's number where one ended it.

Standard error is a pipe to the starter. While the starter stands still, what no longer fits into it is lost: a program that waited until it
is read would stand still too.
"""

import os
import signal
import subprocess
import sys
import threading

_SECONDS = 8.0


def main() -> int:
    """Until the program has ended."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C is for the starter, which closes our standard input when it has finished
    os.set_blocking(2, False)  # for the program as well: it is one pipe
    # in a session of its own: nobody else's signals
    program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)

    def end() -> None:
        while os.read(0, 4096):  # not sys.stdin: an interpreter that ends while a thread is in there says so and aborts
            pass
        program.terminate()
        try:
            program.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            program.kill()

    threading.Thread(target=end, daemon=True).start()
    status = program.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
