"""Starts a program that ends when the process ends that wants it: ``bound.py PROCESS PROGRAM WORDS…``.

A worker that is killed cannot end its program. The program would go on, and hold the item while another worker waits for it.
This is a process of its own because nothing may run between fork and exec in a worker, which has threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
#: To be tried again: nothing was wrong with the item.
_AGAIN = 75

if __name__ == "__main__":
    if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) or os.getppid() != int(sys.argv[1]):
        sys.exit(_AGAIN)
    try:
        os.execv(sys.argv[2], sys.argv[2:])
    except OSError as error:
        print(f"{sys.argv[2]}: {error.strerror}", file=sys.stderr)
        sys.exit(_AGAIN)
