#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every program says which version it is, without starting anything, whatever its environment."""
import os
import subprocess
import sys
import unittest

BIN, VERSION = sys.argv[1:3]
del sys.argv[1:3]
EMULATOR = os.environ.get("TULLE_EMULATOR", "").split()
PROGRAMS = ["tulle", "tulle-control", "tulle-node", "tulle-proxy"]


def run(program, *arguments):
    environment = {name: value for name, value in os.environ.items() if name.startswith("QEMU_")}
    return subprocess.run([*EMULATOR, os.path.join(BIN, program), *arguments], env=environment, timeout=20, capture_output=True, text=True)


class Version(unittest.TestCase):
    def test_every_program_prints_it(self):
        for program in PROGRAMS:
            with self.subTest(program):
                done = run(program, "--version")
                self.assertEqual((done.returncode, done.stdout, done.stderr), (0, f"{program} {VERSION}\n", ""))

    def test_every_program_has_help(self):
        for program in PROGRAMS:
            with self.subTest(program):
                done = run(program, "--help")
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertIn(program, done.stdout)

    def test_the_parts_of_tulle_node_print_it_as_well(self):
        for verb in ("init", "await", "validate"):
            with self.subTest(verb):
                done = run("tulle-node", verb, "--version")
                self.assertEqual((done.returncode, done.stdout), (0, f"tulle-node {VERSION}\n"))

    def test_what_await_runs_keeps_its_own_flags(self):
        done = run("tulle-node", "await", "--timeout=1ms", "--", "/bin/echo", "--version")
        self.assertNotIn("tulle-node", done.stdout)

    def test_an_argument_that_the_proxy_does_not_know_does_not_start_it(self):
        done = run("tulle-proxy", "--verison")
        self.assertEqual(done.returncode, 64)
        self.assertIn("usage: tulle-proxy", done.stderr)


if __name__ == "__main__":
    unittest.main()
