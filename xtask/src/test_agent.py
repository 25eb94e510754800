"""Runs the APM test agent until standard input closes: when xtask ends, however it ends.

The first argument is the directory for its socket, the others are the agent's own.
"""

import os
import shutil
import signal
import sys
import threading

from ddapm_test_agent.agent import main

socket_dir = sys.argv.pop(1)
sys.argv += ["--trace-uds-socket", os.path.join(socket_dir, "apm.sock")]


def end_with_xtask():
    sys.stdin.buffer.read()
    shutil.rmtree(socket_dir, ignore_errors=True)
    os._exit(0)


# Ctrl-C ends xtask, and that ends this.
signal.signal(signal.SIGINT, signal.SIG_IGN)
threading.Thread(target=end_with_xtask, daemon=True).start()
main()
