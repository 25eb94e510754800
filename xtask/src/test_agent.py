"""Runs the APM test agent until standard input closes: when xtask ends, however it ends."""

import os
import sys
import threading

from ddapm_test_agent.agent import main


def end_with_xtask():
    sys.stdin.buffer.read()
    os._exit(0)


threading.Thread(target=end_with_xtask, daemon=True).start()
main()
