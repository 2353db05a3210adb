"""Servers of one run: started on loopback, measured from /proc, stopped by their own process ids."""

import os
import random
import signal
import socket
import subprocess
import time
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")
# Below the range that the kernel gives to anybody who asks for no port in particular.
PORTS = range(20_000, 32_000)
READY_WITHIN_S = 120
STOP_WITHIN_S = 30


class Failed(Exception):
    """The run cannot go on; the text says what to do."""


def free_port():
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Failed("no free port between 20000 and 32000")


def fetch(url, data=None, timeout=30):
    """The body of an answer; raises OSError without one."""
    with urllib.request.urlopen(url, data=data, timeout=timeout) as answer:
        return answer.read().decode()


class Process:
    def __init__(self, name, command, directory):
        self.name = name
        self.log = os.path.join(directory, f"{name}.log")
        # The kernel ends it should this program die; Ctrl-C is for this program, which stops the others in order.
        guarded = ["setpriv", "--pdeathsig", "KILL", "--", *command]
        with open(self.log, "w") as log:
            self.child = subprocess.Popen(
                guarded,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.rss_peak = 0
        self.threads = 0

    def ready(self, url):
        end = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < end:
            self.must_live()
            try:
                fetch(url, timeout=5)
                return self
            except OSError:
                time.sleep(0.1)
        raise Failed(f"{self.name} is not ready after {READY_WITHIN_S} s; its log: {self.log}")

    def must_live(self):
        if self.child.poll() is not None:
            with open(self.log) as log:
                said = log.read()[-2000:]
            raise Failed(f"{self.name} has ended ({self.child.returncode}):\n{said}")

    def cpu_s(self):
        """CPU seconds of all its threads, living and gone."""
        with open(f"/proc/{self.child.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def sample(self):
        self.must_live()
        with open(f"/proc/{self.child.pid}/status") as status:
            lines = dict(line.split(":", 1) for line in status)
        self.rss_peak = max(self.rss_peak, int(lines["VmRSS"].split()[0]) * 1024)
        self.threads = max(self.threads, int(lines["Threads"]))

    def forget_peaks(self):
        self.rss_peak = self.threads = 0

    def hang_up(self):
        self.child.send_signal(signal.SIGHUP)

    def stop(self):
        if self.child.poll() is not None:
            return
        self.child.terminate()
        try:
            self.child.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
