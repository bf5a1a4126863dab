#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A Prometheus in the cluster finds pods by their port names and scrapes them: the ground for what the mesh shows there."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from harness import Cluster, report, wait  # noqa: E402

NS = "monitoring"


def it_scrapes_pods_by_port_name(c):
    c.install_prometheus(NS)
    up = wait(lambda: [labels for labels, value in c.query(NS, 'up{namespace="kube-system"}') if value == 1], "CoreDNS is scraped", 40)
    assert all(labels["container"] == "coredns" for labels in up), up
    assert c.query(NS, "coredns_build_info"), "its numbers are there"


CASES = [it_scrapes_pods_by_port_name]


def main():
    cluster = Cluster()
    try:
        with cluster.namespace(NS):
            report(CASES, cluster, on_failure=lambda: cluster.describe(NS))
    finally:
        cluster.uninstall_prometheus(NS)


main()
