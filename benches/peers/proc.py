"""What the kernel says about a process and its descendants."""

import glob
import os

TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid):
    pids = [pid]
    for file in glob.glob(f"/proc/{pid}/task/*/children"):
        for child in read(file).split():
            pids += tree(int(child))
    return pids


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # a thread or process that has just ended


def cpu_ns(pids):
    """Processor time of all threads, from the scheduler, in nanoseconds."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            total += int((read(f"/proc/{pid}/task/{task}/schedstat") or "0").split()[0])
    return total


def threads_ns(pid, prefix):
    """Processor time of each thread whose name begins so."""
    found = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        if read(f"/proc/{pid}/task/{task}/comm").startswith(prefix):
            found[task] = int(read(f"/proc/{pid}/task/{task}/schedstat").split()[0])
    return found


def user_system(pids):
    """Seconds in user and in system mode. The kernel splits the exact total by where its
    timer ticks happen to fall, so the split is good to a few points only."""
    user = system = 0
    for pid in pids:
        fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        user += int(fields[11])
        system += int(fields[12])
    return user / TICKS, system / TICKS


def rss_kib(pids):
    total = 0
    for pid in pids:
        for line in read(f"/proc/{pid}/status").splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total


def connections_per_epoll(pid, port):
    """How many established connections to a port each event loop of a process watches."""
    inodes = set()
    for line in read("/proc/net/tcp").splitlines()[1:]:
        fields = line.split()
        if fields[3] == "01" and int(fields[1].split(":")[1], 16) == port:
            inodes.add(fields[9])
    loops = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        if "eventpoll" not in link(f"/proc/{pid}/fd/{fd}"):
            continue
        watched = set()
        for line in read(f"/proc/{pid}/fdinfo/{fd}").splitlines():
            if line.startswith("tfd:"):
                socket = link(f"/proc/{pid}/fd/{line.split()[1]}")
                watched.add(socket.removeprefix("socket:[").rstrip("]"))
        # A set, as one loop may be open under two descriptors.
        loops.add(frozenset(watched & inodes))
    return sorted(len(loop) for loop in loops if loop)


def link(path):
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""
