#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints Envoy's bootstrap for one side of an mTLS pair: envoy.py client|server CERT KEY CA SERVER_IP APP_PORT [h2|tcp]"""
import json
import sys

side, cert, key, ca, server_ip, app_port = sys.argv[1:7]
mode = sys.argv[7] if len(sys.argv) > 7 else "h1"
EXT = "type.googleapis.com/envoy.extensions."


def address(host, port):
    return {"socket_address": {"address": host, "port_value": int(port)}}


def tls(kind, alpn):
    common = {
        "alpn_protocols": alpn,
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [{"certificate_chain": {"filename": cert}, "private_key": {"filename": key}}],
        "validation_context": {"trusted_ca": {"filename": ca}},
    }
    config = {"@type": EXT + f"transport_sockets.tls.v3.{kind}TlsContext", "common_tls_context": common}
    if kind == "Downstream":
        config["require_client_certificate"] = True
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


def http_filter():
    router = {"name": "envoy.filters.http.router", "typed_config": {"@type": EXT + "filters.http.router.v3.Router"}}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "next"}}
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": EXT + "filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "bench",
            "codec_type": "AUTO",
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
            "http_filters": [router],
        },
    }


def tcp_filter():
    config = {"@type": EXT + "filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "bench", "cluster": "next"}
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": config}


alpn = ["bytes"] if mode == "tcp" else ["h2"]
chain = {"filters": [tcp_filter() if mode == "tcp" else http_filter()]}
limits = {"max_connections": 100000, "max_requests": 1000000, "max_pending_requests": 1000000}
cluster = {"name": "next", "type": "STATIC", "circuit_breakers": {"thresholds": [limits]}}
listen, target = ("127.0.0.1", 4140), (server_ip, 4143)
if side == "server":
    listen, target = ("0.0.0.0", 4143), ("127.0.0.1", app_port)
    chain["transport_socket"] = tls("Downstream", alpn)
else:
    cluster["transport_socket"] = tls("Upstream", alpn)
if mode == "h2" or (mode == "h1" and side == "client"):
    options = EXT + "upstreams.http.v3.HttpProtocolOptions"
    h2 = {"@type": options, "explicit_http_config": {"http2_protocol_options": {}}}
    cluster["typed_extension_protocol_options"] = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": h2}
endpoint = {"endpoint": {"address": address(*target)}}
cluster["load_assignment"] = {"cluster_name": "next", "endpoints": [{"lb_endpoints": [endpoint]}]}
listener = {"name": "listen", "address": address(*listen), "filter_chains": [chain]}
resources = {"listeners": [listener], "clusters": [cluster]}
print(json.dumps({"admin": {"address": address("127.0.0.1", 9901)}, "static_resources": resources}, indent=1))
