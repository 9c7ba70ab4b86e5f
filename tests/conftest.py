"""What all tests need."""

import signal

# A shell that starts the tests in the background lets them ignore Ctrl-C, and every process that
# they start would inherit that; several tests interrupt such processes.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
