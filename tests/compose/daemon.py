"""The Docker daemon that the compose tests talk to: one that answers already, or one of our own.

Our own keeps everything (images, socket, log, pid) in one directory, so that it never meets a
daemon of the distribution, its images speed up the next run, and deleting the directory undoes it.

    python -m tests.compose.daemon start    # prints DOCKER_HOST of a daemon that keeps running
    python -m tests.compose.daemon stop     # stops it, or one that a killed test run left
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import docker
from docker.errors import DockerException

STATE = Path(os.environ.get("MODELYARD_DOCKER_DIR", "/var/lib/modelyard-docker"))
PID_FILE = STATE / "dockerd.pid"
LOG = STATE / "dockerd.log"
UNIX_SCHEME = "unix://"
OWN_URL = f"{UNIX_SCHEME}{STATE}/docker.sock"

ATTEMPTS: tuple[tuple[str, ...], ...] = (
    (),
    ("--storage-driver=vfs",),  # where overlay cannot be mounted: inside another container
    # Where the kernel has no packet filter: the proxy process still publishes ports.
    ("--storage-driver=vfs", "--iptables=false", "--ip6tables=false"),
)
START_LIMIT_S = 60
STOP_LIMIT_S = 40


class DaemonError(Exception):
    """No Docker daemon answers, and none could be started."""


@contextlib.contextmanager
def docker_url() -> Iterator[str]:
    """Yield the URL of a daemon that answers; one that was started for this is stopped after."""
    for url in (os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"), OWN_URL):
        if answers(url):
            yield url
            return
    process = start()
    try:
        yield OWN_URL
    finally:
        stop(process.pid)
        process.wait()


def answers(url: str) -> bool:
    """Tell whether a Docker daemon answers at *url*."""
    if url.startswith(UNIX_SCHEME) and not _listens(url.removeprefix(UNIX_SCHEME)):
        return False
    try:
        client = docker.DockerClient(base_url=url, timeout=10)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except (DockerException, OSError):
        return False
    finally:
        client.close()


def _listens(path: str) -> bool:
    """Tell whether a process listens on a Unix socket; Docker's client would leave it unclosed."""
    with socket.socket(socket.AF_UNIX) as asking:
        return asking.connect_ex(path) == 0


def start() -> subprocess.Popen[bytes]:
    """Start a daemon of our own in the first way that works here, or raise DaemonError."""
    if os.geteuid() != 0:
        raise DaemonError("no Docker daemon answers, and only root can start one")
    dockerd = shutil.which("dockerd") or shutil.which("dockerd", path="/usr/sbin:/usr/local/sbin")
    if dockerd is None:
        raise DaemonError("no Docker daemon answers, and dockerd is not installed (docker.io)")
    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for attempt in ATTEMPTS:
            if process := _started(dockerd, attempt):
                return process
    raise DaemonError(f"dockerd does not start; the end of {LOG}:\n{_log_tail()}")


def _started(dockerd: str, flags: tuple[str, ...]) -> subprocess.Popen[bytes] | None:
    """Start dockerd with *flags*; return it once it answers, or None if it ends or hangs."""
    command = [
        dockerd,
        f"--host={OWN_URL}",
        f"--data-root={STATE}/data",
        f"--exec-root={STATE}/exec",
        f"--pidfile={PID_FILE}",
        *flags,
    ]
    with LOG.open("wb") as log:
        # A session of its own: Ctrl-C must not end it before the containers are gone.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)  # the pause between two questions, cut short by its end
            return None
        if answers(OWN_URL):
            return process
    stop(process.pid)
    process.wait()
    return None


def stop(pid: int) -> None:
    """Ask the daemon with this *pid* to end, kill it if it does not, and undo what it mounted."""
    _end(pid)
    # dockerd leaves the host's network namespace mounted here, and the directory undeletable.
    subprocess.run(["umount", STATE / "exec/netns/default"], capture_output=True, check=False)


def _end(pid: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(handle, number)
                if _ended(handle, STOP_LIMIT_S):
                    return
            finally:
                os.close(handle)


def _ended(handle: int, limit_s: float) -> bool:
    """Wait until the process behind the pidfd *handle* has ended."""
    return bool(select.select([handle], [], [], limit_s)[0])


def running_pid() -> int | None:
    """Return the pid of a daemon of our own that runs, whoever started it."""
    try:
        pid = int(PID_FILE.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if OWN_URL.encode() in command else None


def _log_tail(lines: int = 30) -> str:
    return "\n".join(LOG.read_text(errors="replace").splitlines()[-lines:])


def main(arguments: list[str]) -> int:
    """Run `start` or `stop` from the command line."""
    if arguments == ["start"]:
        if not answers(OWN_URL):
            try:
                start()
            except DaemonError as error:
                print(error, file=sys.stderr)
                return 1
        print(f"export DOCKER_HOST={OWN_URL}")
        return 0
    if arguments == ["stop"]:
        if pid := running_pid():
            stop(pid)
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
