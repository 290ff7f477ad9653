"""For all tests: Ctrl-C reaches the processes they start, also if this run was started in the background."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # inherited from a shell's background job
    signal.signal(signal.SIGINT, signal.default_int_handler)
