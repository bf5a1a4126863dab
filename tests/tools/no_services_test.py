#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tools/no-services: several at once share one policy file, the last takes it away.

usage: no_services_test.py [CASE...]      (prints TAP)
"""
import os
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(TOP, "tests", "support")]
from cases import Cases  # noqa: E402 - after the path is known


class World:
    def __init__(self, folder):
        self.policy = os.path.join(folder, "policy-rc.d")

    def start(self, script="echo in; read line"):
        """A run inside of which `script` goes on; returns once that has begun."""
        run = subprocess.Popen([f"{TOP}/tools/no-services", "--policy", self.policy, "sh", "-c", script],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert run.stdout.readline() == "in\n"
        return run

    def end(self, run):
        run.communicate("\n")
        return run.returncode

    def says_no(self):
        return subprocess.run([self.policy], check=False).returncode == 101


def one_alone(w):
    run = w.start()
    assert w.says_no()
    assert w.end(run) == 0 and not os.path.exists(w.policy)
    assert os.listdir(os.path.dirname(w.policy)) == []


def the_status_is_the_commands(w):
    assert w.end(w.start("echo in; read line; exit 7")) == 7
    assert not os.path.exists(w.policy)


def two_at_once(w):
    first, second = w.start(), w.start()
    w.end(first)
    assert w.says_no(), "the first took it away from the second"
    third = w.start()
    w.end(second)
    assert w.says_no()
    w.end(third)
    assert not os.path.exists(w.policy)


def many_come_and_go(w):
    runs = [subprocess.Popen([f"{TOP}/tools/no-services", "--policy", w.policy, w.policy]) for _ in range(40)]
    # Each found a policy that says no, whoever went meanwhile.
    assert [run.wait() for run in runs] == [101] * 40
    assert os.listdir(os.path.dirname(w.policy)) == []


def what_a_killed_one_left_goes_with_the_next(w):
    run = w.start()
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert w.says_no()
    w.end(w.start())
    assert not os.path.exists(w.policy)


def one_that_is_told_to_end_cleans_up(w):
    run = w.start()
    os.killpg(run.pid, signal.SIGTERM)
    run.wait()
    assert not os.path.exists(w.policy)


def the_machines_own_stays(w):
    with open(w.policy, "w", encoding="ascii") as f:
        f.write("#!/bin/sh\nexit 0\n")
    w.end(w.start())
    with open(w.policy, encoding="ascii") as f:
        assert f.read() == "#!/bin/sh\nexit 0\n"


def main():
    cases = Cases(sys.argv[1:])
    for case in (one_alone, the_status_is_the_commands, two_at_once, many_come_and_go, what_a_killed_one_left_goes_with_the_next,
                 one_that_is_told_to_end_cleans_up, the_machines_own_stays):
        with tempfile.TemporaryDirectory(prefix="tulle-tools-") as folder:
            cases.check(case, World(folder))
    cases.end()


if __name__ == "__main__":
    main()
