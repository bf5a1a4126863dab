// SPDX-License-Identifier: Apache-2.0
//! Short ways to write the messages of the API.
use linkerd2_proxy_api::{
    destination as dst, http_route as hr, inbound as inb, meta, net, outbound as out,
};
use std::collections::HashMap;
use std::net::SocketAddr;

pub fn ip(text: &str) -> net::IpAddress {
    text.parse::<std::net::IpAddr>().expect(text).into()
}

pub fn tcp(text: &str) -> net::TcpAddress {
    let addr: SocketAddr = text.parse().expect(text);
    net::TcpAddress {
        ip: Some(addr.ip().into()),
        port: addr.port().into(),
    }
}

pub fn cidr(text: &str) -> net::IpNetwork {
    let (addr, prefix) = text.split_once('/').expect(text);
    net::IpNetwork {
        ip: Some(ip(addr)),
        prefix_len: prefix.parse().expect(text),
    }
}

pub fn ms(millis: u64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration {
        seconds: (millis / 1000) as i64,
        nanos: (millis % 1000 * 1_000_000) as i32,
    })
}

pub fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect()
}

pub fn default_meta(name: &str) -> Option<meta::Metadata> {
    Some(meta::Metadata {
        kind: Some(meta::metadata::Kind::Default(name.into())),
    })
}

pub fn resource(
    group: &str,
    kind: &str,
    ns: &str,
    name: &str,
    port: u32,
) -> Option<meta::Metadata> {
    Some(meta::Metadata {
        kind: Some(meta::metadata::Kind::Resource(meta::Resource {
            group: group.into(),
            kind: kind.into(),
            name: name.into(),
            namespace: ns.into(),
            section: String::new(),
            port,
        })),
    })
}

pub fn service(ns: &str, name: &str, port: u32) -> Option<meta::Metadata> {
    resource("core", "Service", ns, name, port)
}

// --- destination ---------------------------------------------------------------------------------

/// Of an endpoint outside of the mesh.
pub fn endpoint(addr: &str, metric_labels: &[(&str, &str)]) -> dst::WeightedAddr {
    dst::WeightedAddr {
        addr: Some(tcp(addr)),
        weight: 10_000,
        metric_labels: labels(metric_labels),
        ..Default::default()
    }
}

/// What every endpoint with a proxy has.
pub fn meshed(
    mut endpoint: dst::WeightedAddr,
    opaque: bool,
    inbound_port: u32,
) -> dst::WeightedAddr {
    use dst::protocol_hint::{Opaque, OpaqueTransport, Protocol, H2};
    endpoint.protocol_hint = Some(dst::ProtocolHint {
        opaque_transport: Some(OpaqueTransport { inbound_port }),
        protocol: Some(if opaque {
            Protocol::Opaque(Opaque {})
        } else {
            Protocol::H2(H2 {})
        }),
    });
    endpoint.http2 = Some(dst::Http2ClientParams {
        keep_alive: Some(dst::http2_client_params::KeepAlive {
            interval: ms(10_000),
            timeout: ms(3_000),
            while_idle: true,
        }),
        ..Default::default()
    });
    endpoint
}

pub fn with_identity(mut endpoint: dst::WeightedAddr, name: &str) -> dst::WeightedAddr {
    let name = dst::tls_identity::DnsLikeIdentity { name: name.into() };
    endpoint.tls_identity = Some(dst::TlsIdentity {
        server_name: Some(name.clone()),
        strategy: Some(dst::tls_identity::Strategy::DnsLikeIdentity(name)),
    });
    endpoint
}

pub fn add(addrs: Vec<dst::WeightedAddr>, metric_labels: &[(&str, &str)]) -> dst::Update {
    dst::Update {
        update: Some(dst::update::Update::Add(dst::WeightedAddrSet {
            addrs,
            metric_labels: labels(metric_labels),
        })),
    }
}

pub fn remove(addrs: &[&str]) -> dst::Update {
    dst::Update {
        update: Some(dst::update::Update::Remove(dst::AddrSet {
            addrs: addrs.iter().map(|a| tcp(a)).collect(),
        })),
    }
}

pub fn no_endpoints(exists: bool) -> dst::Update {
    dst::Update {
        update: Some(dst::update::Update::NoEndpoints(dst::NoEndpoints {
            exists,
        })),
    }
}

pub fn budget() -> Option<dst::RetryBudget> {
    Some(dst::RetryBudget {
        retry_ratio: 0.2,
        min_retries_per_second: 10,
        ttl: ms(10_000),
    })
}

// --- inbound policy ------------------------------------------------------------------------------

pub fn network(net: &str, except: &[&str]) -> inb::Network {
    inb::Network {
        net: Some(cidr(net)),
        except: except.iter().map(|e| cidr(e)).collect(),
    }
}

pub fn everywhere() -> Vec<inb::Network> {
    vec![network("0.0.0.0/0", &[]), network("::/0", &[])]
}

pub fn unauthenticated() -> Option<inb::Authn> {
    Some(inb::Authn {
        permit: Some(inb::authn::Permit::Unauthenticated(
            inb::authn::PermitUnauthenticated {},
        )),
    })
}

pub fn any_tls() -> Option<inb::Authn> {
    use inb::authn::{permit_mesh_tls::Clients, Permit, PermitMeshTls, PermitUnauthenticated};
    Some(inb::Authn {
        permit: Some(Permit::MeshTls(PermitMeshTls {
            clients: Some(Clients::Unauthenticated(PermitUnauthenticated {})),
        })),
    })
}

/// Suffixes are given as they are on the wire: label after label, none for everyone.
pub fn identities(names: &[&str], suffixes: &[&[&str]]) -> Option<inb::Authn> {
    use inb::authn::{permit_mesh_tls, Permit, PermitMeshTls};
    let identities = names.iter().map(|n| inb::Identity {
        name: n.to_string(),
    });
    let suffixes = suffixes.iter().map(|parts| inb::IdentitySuffix {
        parts: parts.iter().map(|p| p.to_string()).collect(),
    });
    Some(inb::Authn {
        permit: Some(Permit::MeshTls(PermitMeshTls {
            clients: Some(permit_mesh_tls::Clients::Identities(
                permit_mesh_tls::PermitClientIdentities {
                    identities: identities.collect(),
                    suffixes: suffixes.collect(),
                },
            )),
        })),
    })
}

/// Under the name of a default policy.
pub fn default_authz(
    name: &str,
    networks: Vec<inb::Network>,
    authentication: Option<inb::Authn>,
) -> inb::Authz {
    inb::Authz {
        networks,
        authentication,
        labels: labels(&[("group", ""), ("kind", "default"), ("name", name)]),
        metadata: default_meta(name),
    }
}

/// Under the name of a resource; those have lower-case kinds.
pub fn policy_authz(
    kind: &str,
    name: &str,
    networks: Vec<inb::Network>,
    authentication: Option<inb::Authn>,
) -> inb::Authz {
    const GROUP: &str = "policy.linkerd.io";
    inb::Authz {
        networks,
        authentication,
        labels: labels(&[("group", GROUP), ("kind", kind), ("name", name)]),
        metadata: resource(GROUP, kind, "", name, 0),
    }
}

pub fn prefix(path: &str) -> hr::HttpRouteMatch {
    hr::HttpRouteMatch {
        path: Some(hr::PathMatch {
            kind: Some(hr::path_match::Kind::Prefix(path.into())),
        }),
        ..Default::default()
    }
}

/// The route of a Server to which no route is attached.
pub fn inbound_route() -> inb::HttpRoute {
    inb::HttpRoute {
        metadata: default_meta("default"),
        rules: vec![inb::http_route::Rule {
            matches: vec![prefix("/")],
            filters: vec![],
        }],
        ..Default::default()
    }
}

pub fn inbound(kind: inb::proxy_protocol::Kind) -> Option<inb::ProxyProtocol> {
    Some(inb::ProxyProtocol { kind: Some(kind) })
}

pub fn inbound_detect(http_routes: Vec<inb::HttpRoute>) -> Option<inb::ProxyProtocol> {
    inbound(inb::proxy_protocol::Kind::Detect(
        inb::proxy_protocol::Detect {
            timeout: ms(10_000),
            http_routes,
            http_local_rate_limit: None,
        },
    ))
}

// --- outbound policy -----------------------------------------------------------------------------

fn queue() -> Option<out::Queue> {
    Some(out::Queue {
        capacity: 100,
        failfast_timeout: ms(3_000),
    })
}

pub fn balancer(ns: &str, name: &str, port: u32) -> out::Backend {
    use out::backend::{
        balance_p2c::{Load, PeakEwma},
        endpoint_discovery::{DestinationGet, Kind as Discovery},
        BalanceP2c, EndpointDiscovery, Kind,
    };
    out::Backend {
        metadata: service(ns, name, port),
        queue: queue(),
        kind: Some(Kind::Balancer(BalanceP2c {
            discovery: Some(EndpointDiscovery {
                kind: Some(Discovery::Dst(DestinationGet {
                    path: format!("{name}.{ns}.svc.cluster.local:{port}"),
                })),
            }),
            load: Some(Load::PeakEwma(PeakEwma {
                default_rtt: ms(30),
                decay: ms(10_000),
            })),
        })),
    }
}

pub fn forward(metadata: Option<meta::Metadata>, to: &str) -> out::Backend {
    out::Backend {
        metadata,
        queue: queue(),
        kind: Some(out::backend::Kind::Forward(dst::WeightedAddr {
            addr: Some(tcp(to)),
            weight: 1,
            ..Default::default()
        })),
    }
}

pub fn http_route(
    name: &str,
    backend: out::Backend,
    filters: Vec<out::http_route::Filter>,
) -> out::HttpRoute {
    use out::http_route::{distribution, Distribution, RouteBackend, Rule};
    out::HttpRoute {
        metadata: default_meta(name),
        hosts: vec![],
        rules: vec![Rule {
            matches: vec![prefix("/")],
            filters,
            backends: Some(Distribution {
                kind: Some(distribution::Kind::FirstAvailable(
                    distribution::FirstAvailable {
                        backends: vec![RouteBackend {
                            backend: Some(backend),
                            ..Default::default()
                        }],
                    },
                )),
            }),
            ..Default::default()
        }],
    }
}

pub fn opaque_route(
    name: &str,
    backend: out::Backend,
    filters: Vec<out::opaque_route::Filter>,
) -> out::OpaqueRoute {
    use out::opaque_route::{distribution, Distribution, RouteBackend, Rule};
    out::OpaqueRoute {
        metadata: default_meta(name),
        rules: vec![Rule {
            backends: Some(Distribution {
                kind: Some(distribution::Kind::FirstAvailable(
                    distribution::FirstAvailable {
                        backends: vec![RouteBackend {
                            backend: Some(backend),
                            filters: vec![],
                        }],
                    },
                )),
            }),
            filters,
        }],
    }
}

pub fn policy(
    metadata: Option<meta::Metadata>,
    kind: out::proxy_protocol::Kind,
) -> out::OutboundPolicy {
    out::OutboundPolicy {
        metadata,
        protocol: Some(out::ProxyProtocol { kind: Some(kind) }),
    }
}

pub fn detect(http: out::HttpRoute, opaque: out::OpaqueRoute) -> out::proxy_protocol::Kind {
    use out::proxy_protocol::{Detect, Http1, Http2, Kind, Opaque};
    Kind::Detect(Detect {
        timeout: ms(10_000),
        opaque: Some(Opaque {
            routes: vec![opaque],
        }),
        http1: Some(Http1 {
            routes: vec![http.clone()],
            failure_accrual: None,
        }),
        http2: Some(Http2 {
            routes: vec![http],
            failure_accrual: None,
        }),
    })
}

pub fn opaque(route: out::OpaqueRoute) -> out::proxy_protocol::Kind {
    out::proxy_protocol::Kind::Opaque(out::proxy_protocol::Opaque {
        routes: vec![route],
    })
}
