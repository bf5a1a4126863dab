// SPDX-License-Identifier: Apache-2.0
//! A client of tulle-control that knows what manifests/ must come out as. Messages are compared whole,
//! as the crate decodes them, so a field that is missing, wrong or too many is a difference.
//!
//! CONFIG: `identity`, `destination`, `policy` (addresses); `manifests` (the folder that the control
//! plane reads, to be changed); `certify` (a list of `identity`, `token`, `csr` (a file) and `want`, a
//! gRPC code); `certificates` (a folder for what is issued).
use crate::make::*;
use linkerd2_proxy_api::{
    destination::{self as dst, destination_client::DestinationClient},
    http_route as hr, http_types,
    identity::{self as idn, identity_client::IdentityClient},
    inbound::{self as inb, inbound_server_policies_client::InboundServerPoliciesClient},
    outbound::{self as out, outbound_policies_client::OutboundPoliciesClient},
};
use std::fmt::Debug;
use std::time::{Duration, Instant};
use tonic::{transport::Channel, Code, Status, Streaming};

const WEB: &str = "web.shop.serviceaccount.identity.linkerd.cluster.local";
const DB: &str = "db.shop.serviceaccount.identity.linkerd.cluster.local";
const DEFAULT_IN_SHOP: &str = "default.shop.serviceaccount.identity.linkerd.cluster.local";
const DEFAULT_IN_STRICT: &str = "default.strict.serviceaccount.identity.linkerd.cluster.local";
// An update reaches a stream in less than this.
const SOON: Duration = Duration::from_secs(1);

pub struct Checks {
    done: usize,
    failed: usize,
}

impl Checks {
    fn same<T: Debug + PartialEq>(&mut self, what: &str, got: T, want: T) {
        self.done += 1;
        if got == want {
            return;
        }
        self.failed += 1;
        println!("DIFFERENT: {what}");
        let (got, want) = (format!("{got:#?}"), format!("{want:#?}"));
        let (got, want): (Vec<_>, Vec<_>) = (got.lines().collect(), want.lines().collect());
        // Only what lies between the first line that differs and the last.
        let head = got.iter().zip(&want).take_while(|(a, b)| a == b).count();
        let pairs = got[head..].iter().rev().zip(want[head..].iter().rev());
        let tail = pairs.take_while(|(a, b)| a == b).count();
        for line in &got[head.saturating_sub(6)..head] {
            println!("    {}", line.trim());
        }
        for (sign, lines) in [('-', want), ('+', got)] {
            for line in lines[head..lines.len() - tail].iter().take(40) {
                println!("  {sign} {}", line.trim());
            }
        }
    }

    fn code<T: Debug>(&mut self, what: &str, got: Result<T, Status>, want: Code) {
        let code = match got {
            Ok(_) => Code::Ok,
            Err(status) => status.code(),
        };
        self.same(what, code, want);
    }
}

struct Peer {
    destination: DestinationClient<Channel>,
    inbound: InboundServerPoliciesClient<Channel>,
    outbound: OutboundPoliciesClient<Channel>,
    identity: IdentityClient<Channel>,
    manifests: String,
}

pub async fn run(config: &str) -> bool {
    let config = crate::read_json(config);
    let text = |key: &str| config[key].as_str().expect(key).to_string();
    let url = |key: &str| format!("http://{}", text(key));
    let mut peer = Peer {
        destination: DestinationClient::connect(url("destination"))
            .await
            .expect("destination"),
        inbound: InboundServerPoliciesClient::connect(url("policy"))
            .await
            .expect("policy"),
        outbound: OutboundPoliciesClient::connect(url("policy"))
            .await
            .expect("policy"),
        identity: IdentityClient::connect(url("identity"))
            .await
            .expect("identity"),
        manifests: text("manifests"),
    };
    let mut checks = Checks { done: 0, failed: 0 };
    peer.certify(&config["certify"], &text("certificates"), &mut checks)
        .await;
    peer.endpoints(&mut checks).await;
    peer.profiles(&mut checks).await;
    peer.servers(&mut checks).await;
    peer.policies(&mut checks).await;
    peer.changes(&mut checks).await;
    println!("{} checks, {} failed", checks.done, checks.failed);
    checks.failed == 0 && checks.done > 50
}

/// The next message of a stream; an error also when there is none in time.
async fn next<T>(stream: &mut Streaming<T>, within: Duration) -> Result<Option<T>, Status> {
    match tokio::time::timeout(within, stream.message()).await {
        Ok(message) => message,
        Err(_) => Err(Status::deadline_exceeded("no message in time")),
    }
}

/// Endpoints come in no particular order.
fn sorted(mut update: dst::Update) -> dst::Update {
    let key = |a: &Option<linkerd2_proxy_api::net::TcpAddress>| format!("{a:?}");
    match update.update.as_mut() {
        Some(dst::update::Update::Add(set)) => set.addrs.sort_by_key(|a| key(&a.addr)),
        Some(dst::update::Update::Remove(set)) => set.addrs.sort_by_key(|a| key(&Some(a.clone()))),
        _ => {}
    }
    update
}

fn web_1(addr: &str, locality: &str) -> dst::WeightedAddr {
    let endpoint = endpoint(
        addr,
        &[
            ("pod", "web-1"),
            ("deployment", "web"),
            ("serviceaccount", "web"),
            ("control_plane_ns", "linkerd"),
            ("pod_template_hash", "5d4f"),
            ("zone", "a"),
            ("zone_locality", locality),
        ],
    );
    with_identity(meshed(endpoint, false, 4143), WEB)
}

fn web_2(locality: &str) -> dst::WeightedAddr {
    endpoint(
        "10.244.0.12:8081",
        &[
            ("pod", "web-2"),
            ("deployment", "web"),
            ("serviceaccount", "default"),
            ("pod_template_hash", "7abc"),
            ("zone", "b"),
            ("zone_locality", locality),
        ],
    )
}

fn web_3() -> dst::WeightedAddr {
    let endpoint = endpoint(
        "10.244.0.13:8080",
        &[
            ("pod", "web-3"),
            ("daemonset", "web"),
            ("serviceaccount", "web"),
            ("control_plane_ns", "other"),
            ("zone", ""),
            ("zone_locality", "unknown"),
        ],
    );
    meshed(endpoint, false, 5143)
}

fn db_0(port: u16, opaque: bool, locality: &str) -> dst::WeightedAddr {
    let endpoint = endpoint(
        &format!("10.244.0.20:{port}"),
        &[
            ("pod", "db-0"),
            ("statefulset", "db"),
            ("serviceaccount", "db"),
            ("control_plane_ns", "linkerd"),
            ("zone", "b"),
            ("zone_locality", locality),
        ],
    );
    with_identity(meshed(endpoint, opaque, 4143), DB)
}

fn batch_1(port: u16, locality: &str) -> dst::WeightedAddr {
    endpoint(
        &format!("10.244.0.30:{port}"),
        &[
            ("pod", "batch-1"),
            ("k8s_job", "batch"),
            ("serviceaccount", "default"),
            ("control_plane_ns", "linkerd"),
            ("zone", "a"),
            ("zone_locality", locality),
        ],
    )
}

const IN_WEB: &[(&str, &str)] = &[("namespace", "shop"), ("service", "web")];

impl Peer {
    // --- identity --------------------------------------------------------------------------------

    async fn certify(&mut self, cases: &serde_json::Value, folder: &str, checks: &mut Checks) {
        for case in cases.as_array().expect("certify") {
            let text = |key: &str| case[key].as_str().expect(key);
            let csr = match text("csr") {
                "" => vec![],
                path => std::fs::read(path).expect(path),
            };
            let request = idn::CertifyRequest {
                identity: text("identity").into(),
                token: text("token").into(),
                certificate_signing_request: csr,
            };
            let got = self.identity.certify(request).await;
            let name = text("name");
            let code = match &got {
                Ok(_) => "Ok".to_string(),
                Err(status) => format!("{:?}", status.code()),
            };
            checks.same(&format!("certify: {name}"), code.as_str(), text("want"));
            let Ok(response) = got else { continue };
            let idn::CertifyResponse {
                leaf_certificate,
                intermediate_certificates,
                valid_until,
            } = response.into_inner();
            let path = |file: String| format!("{folder}/{file}");
            std::fs::write(path("leaf.der".into()), leaf_certificate).expect("write");
            for (i, der) in intermediate_certificates.iter().enumerate() {
                std::fs::write(path(format!("intermediate.{i}.der")), der).expect("write");
            }
            let until = valid_until.expect("valid_until").seconds.to_string();
            std::fs::write(path("valid_until".into()), until).expect("write");
        }
    }

    // --- destination -----------------------------------------------------------------------------

    async fn get(&mut self, path: &str, context: &str) -> Result<Streaming<dst::Update>, Status> {
        let request = dst::GetDestination {
            scheme: "http:".into(),
            path: path.into(),
            context_token: context.into(),
        };
        Ok(self.destination.get(request).await?.into_inner())
    }

    async fn first(&mut self, path: &str, context: &str) -> Result<dst::Update, Status> {
        let mut stream = self.get(path, context).await?;
        let first = next(&mut stream, SOON).await?;
        Ok(sorted(first.ok_or_else(|| {
            Status::cancelled("the stream has ended")
        })?))
    }

    async fn endpoints(&mut self, checks: &mut Checks) {
        let on_a = r#"{"ns":"shop","nodeName":"node-a","pod":"client"}"#;
        let on_b = "{\"ns\":\"shop\",\"nodeName\":\"node-b\",\"pod\":\"client\"}\n";
        let v6 = "[fd00:10:244::11]:8080";
        let all = |here, there| sorted(add(vec![web_1(v6, here), web_2(there), web_3()], IN_WEB));
        for (what, context, want) in [
            ("from zone a", on_a, all("local", "remote")),
            ("from zone b", on_b, all("remote", "local")),
            ("from nowhere", "", all("unknown", "unknown")),
            ("with an old token", "ns:shop", all("unknown", "unknown")),
            ("with a broken token", "{\"ns\":", all("unknown", "unknown")),
        ] {
            let got = self.first("web.shop.svc.cluster.local:80", context).await;
            checks.same(&format!("endpoints of web {what}"), got.ok(), Some(want));
        }
        let want = all("local", "remote");
        let got = self.first("web.shop.svc.cluster.local", on_a).await;
        checks.same("the port is 80 by default", got.ok(), Some(want));

        let db = |port, opaque, locality| {
            add(
                vec![db_0(port, opaque, locality)],
                &[("namespace", "shop"), ("service", "db")],
            )
        };
        let zoned = |addr: &str, zone: &str, locality: &str| {
            // Not pods, so nothing is known of them but the address.
            let _ = (zone, locality);
            endpoint(addr, &[("zone_locality", "unknown")])
        };
        let of_zoned: &[(&str, &str)] = &[("namespace", "shop"), ("service", "zoned")];
        let of_near: &[(&str, &str)] = &[("namespace", "shop"), ("service", "near")];
        let of_batch: &[(&str, &str)] = &[("namespace", "shop"), ("service", "batch")];
        let one = zoned("172.16.0.1:80", "a", "local");
        let two = zoned("172.16.0.2:80", "b", "local");
        let mut east = endpoint("198.51.100.7:4143", &[("zone_locality", "unknown")]);
        east = meshed(east, false, 0);
        east.protocol_hint.as_mut().unwrap().opaque_transport = None;
        east.authority_override = Some(dst::AuthorityOverride {
            authority_override: "web.shop.svc.east.example:80".into(),
        });
        east = with_identity(
            east,
            "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.east.example",
        );
        east.tls_identity.as_mut().unwrap().server_name = None;

        for (what, path, context, want) in [
            (
                "an annotated opaque port of a headless service",
                "db.shop.svc.cluster.local:5000",
                on_b,
                db(5000, true, "local"),
            ),
            (
                "an opaque port by name",
                "db.shop.svc.cluster.local:9104",
                on_b,
                db(9104, true, "local"),
            ),
            (
                "a port that the service does not define",
                "db.shop.svc.cluster.local:7777",
                on_a,
                db(7777, false, "remote"),
            ),
            (
                "one instance",
                "db-0.db.shop.svc.cluster.local:5000",
                on_a,
                db(5000, true, "remote"),
            ),
            (
                "an instance that is not there",
                "db-1.db.shop.svc.cluster.local:5000",
                on_a,
                no_endpoints(true),
            ),
            (
                "no slices: by selector, to an opaque Server",
                "batch.shop.svc.cluster.local:80",
                on_a,
                add(
                    vec![with_identity(
                        meshed(batch_1(8090, "local"), true, 4143),
                        DEFAULT_IN_SHOP,
                    )],
                    of_batch,
                ),
            ),
            (
                "a port past the proxy",
                "batch.shop.svc.cluster.local:8080",
                on_a,
                add(vec![batch_1(8080, "local")], of_batch),
            ),
            (
                "hints of zone a",
                "zoned.shop.svc.cluster.local:80",
                on_a,
                add(vec![one.clone()], of_zoned),
            ),
            (
                "hints of zone b",
                "zoned.shop.svc.cluster.local:80",
                on_b,
                add(vec![two.clone()], of_zoned),
            ),
            (
                "hints without a zone",
                "zoned.shop.svc.cluster.local:80",
                "",
                add(vec![one, two], of_zoned),
            ),
            (
                "the node's own",
                "near.shop.svc.cluster.local:5000",
                on_b,
                add(vec![db_0(5000, true, "local")], of_near),
            ),
            (
                "no port of that name",
                "near.shop.svc.cluster.local:80",
                on_b,
                no_endpoints(true),
            ),
            (
                "behind a gateway",
                "web-east.shop.svc.cluster.local:80",
                on_a,
                add(
                    vec![east],
                    &[("namespace", "shop"), ("service", "web-east")],
                ),
            ),
            (
                "no endpoints",
                "apps.shop.svc.cluster.local:81",
                on_a,
                no_endpoints(true),
            ),
            (
                "no service",
                "nothing.shop.svc.cluster.local:80",
                on_a,
                no_endpoints(false),
            ),
        ] {
            let got = self.first(path, context).await;
            checks.same(&format!("endpoints: {what}"), got.ok(), Some(sorted(want)));
        }
        for (path, want) in [
            ("", Code::InvalidArgument),
            ("10.96.0.1:80", Code::InvalidArgument),
            ("web.shop.svc.cluster.local:0", Code::InvalidArgument),
            ("web.shop.svc.cluster.local:99999", Code::InvalidArgument),
            ("web.shop.svc.other.domain:80", Code::InvalidArgument),
            ("web.shop:80", Code::InvalidArgument),
            ("a.b.web.shop.svc.cluster.local:80", Code::InvalidArgument),
            ("outside.shop.svc.cluster.local:80", Code::InvalidArgument),
        ] {
            let got = self.first(path, on_a).await;
            checks.code(&format!("endpoints of {path:?}"), got, want);
        }
    }

    async fn get_profile(
        &mut self,
        path: &str,
        context: &str,
    ) -> Result<Streaming<dst::DestinationProfile>, Status> {
        let request = dst::GetDestination {
            scheme: String::new(),
            path: path.into(),
            context_token: context.into(),
        };
        Ok(self.destination.get_profile(request).await?.into_inner())
    }

    async fn profiles(&mut self, checks: &mut Checks) {
        let on_a = r#"{"ns":"shop","nodeName":"node-a","pod":"client"}"#;
        let of_service = |name: &str, port, opaque_protocol| dst::DestinationProfile {
            fully_qualified_name: format!("{name}.shop.svc.cluster.local"),
            opaque_protocol,
            retry_budget: budget(),
            parent_ref: service("shop", name, port),
            profile_ref: resource("linkerd.io", "", "shop", "", 0),
            ..Default::default()
        };
        let of_pod = |mut endpoint: dst::WeightedAddr, ns: &str, opaque_protocol| {
            endpoint.metric_labels.insert("namespace".into(), ns.into());
            dst::DestinationProfile {
                endpoint: Some(endpoint),
                opaque_protocol,
                retry_budget: budget(),
                ..Default::default()
            }
        };
        let bare = |addr: &str, opaque_protocol| dst::DestinationProfile {
            endpoint: Some(endpoint(addr, &[])),
            opaque_protocol,
            retry_budget: budget(),
            ..Default::default()
        };
        let api = |port: u16, opaque| {
            let endpoint = endpoint(
                &format!("10.244.0.40:{port}"),
                &[
                    ("pod", "api"),
                    ("serviceaccount", "default"),
                    ("control_plane_ns", "linkerd"),
                    ("zone", ""),
                    ("zone_locality", "unknown"),
                ],
            );
            let endpoint = with_identity(meshed(endpoint, opaque, 4143), DEFAULT_IN_STRICT);
            of_pod(endpoint, "strict", opaque)
        };
        // The proxy's own ports are asked as they are, without the detour through its inbound port.
        let admin = |port: u16| {
            let mut endpoint = web_1(&format!("10.244.0.11:{port}"), "local");
            endpoint.protocol_hint.as_mut().unwrap().opaque_transport = None;
            of_pod(endpoint, "shop", false)
        };
        let batch = with_identity(meshed(batch_1(8090, "local"), true, 4143), DEFAULT_IN_SHOP);
        for (path, want) in [
            ("10.96.0.1:80", of_service("web", 80, false)),
            ("[fd00:10:96::1]:80", of_service("web", 80, false)),
            (
                "web.shop.svc.cluster.local:80",
                of_service("web", 80, false),
            ),
            ("10.96.0.1:81", dst::DestinationProfile::default()),
            ("10.96.0.4:3306", of_service("mysql", 3306, true)),
            ("10.96.0.3:85", of_service("apps", 85, true)),
            // The annotation replaces the default list.
            ("10.96.0.3:3306", of_service("apps", 3306, false)),
            (
                "db.shop.svc.cluster.local:5000",
                of_service("db", 5000, false),
            ),
            (
                "10.244.0.11:8080",
                of_pod(web_1("10.244.0.11:8080", "local"), "shop", false),
            ),
            (
                "[fd00:10:244::11]:8080",
                of_pod(web_1("[fd00:10:244::11]:8080", "local"), "shop", false),
            ),
            ("10.244.0.11:4191", admin(4191)),
            ("10.244.0.11:4190", admin(4190)),
            ("10.244.0.12:8081", of_pod(web_2("remote"), "shop", false)),
            (
                "10.244.0.20:5000",
                of_pod(db_0(5000, true, "remote"), "shop", true),
            ),
            (
                "10.244.0.20:5001",
                of_pod(db_0(5001, false, "remote"), "shop", false),
            ),
            (
                "10.244.0.30:8080",
                of_pod(batch_1(8080, "local"), "shop", false),
            ),
            ("10.244.0.30:8090", of_pod(batch.clone(), "shop", true)),
            ("192.168.0.1:18090", of_pod(batch, "shop", true)),
            ("10.244.0.40:7150", api(7150, true)),
            ("10.244.0.40:3306", api(3306, false)),
            (
                "db-0.db.shop.svc.cluster.local:5000",
                of_pod(db_0(5000, true, "remote"), "shop", true),
            ),
            ("192.168.0.1:22", bare("192.168.0.1:22", false)),
            ("203.0.113.9:3306", bare("203.0.113.9:3306", true)),
        ] {
            let got = async {
                let mut stream = self.get_profile(path, on_a).await?;
                next(&mut stream, SOON).await
            };
            checks.same(
                &format!("profile of {path}"),
                got.await.ok().flatten(),
                Some(want),
            );
        }
        for (path, want) in [
            ("", Code::InvalidArgument),
            ("web.shop:80", Code::InvalidArgument),
            ("example.com:443", Code::InvalidArgument),
            ("10.96.0.1:0", Code::InvalidArgument),
            ("outside.shop.svc.cluster.local:80", Code::InvalidArgument),
            ("db-9.db.shop.svc.cluster.local:5000", Code::NotFound),
        ] {
            let got = async {
                let mut stream = self.get_profile(path, on_a).await?;
                next(&mut stream, SOON).await
            };
            checks.code(&format!("profile of {path:?}"), got.await, want);
        }
    }

    // --- inbound policy --------------------------------------------------------------------------

    async fn servers(&mut self, checks: &mut Checks) {
        use inb::proxy_protocol::{Grpc, Http1, Kind, Opaque, Tls};
        const OF_DEFAULT: fn(&str) -> std::collections::HashMap<String, String> =
            |name| labels(&[("group", ""), ("kind", "default"), ("name", name)]);
        const OF_SERVER: fn(&str) -> std::collections::HashMap<String, String> = |name| {
            labels(&[
                ("group", "policy.linkerd.io"),
                ("kind", "server"),
                ("name", name),
            ])
        };
        let cluster = || {
            ["10.0.0.0/8", "192.168.0.0/16", "fd00::/8"]
                .map(|n| network(n, &[]))
                .to_vec()
        };
        let anyone = || default_authz("all-unauthenticated", everywhere(), unauthenticated());
        let in_cluster =
            || default_authz("cluster-authenticated", cluster(), identities(&[], &[&[]]));
        let exact_get = |path: &str| inb::http_route::Rule {
            matches: vec![hr::HttpRouteMatch {
                path: Some(hr::PathMatch {
                    kind: Some(hr::path_match::Kind::Exact(path.into())),
                }),
                method: Some(http_types::HttpMethod {
                    r#type: Some(http_types::http_method::Type::Registered(
                        http_types::http_method::Registered::Get as i32,
                    )),
                }),
                ..Default::default()
            }],
            filters: vec![],
        };
        let probes = || inb::HttpRoute {
            metadata: default_meta("probe"),
            authorizations: vec![default_authz(
                "probe",
                vec![network("192.168.0.0/16", &[])],
                unauthenticated(),
            )],
            rules: vec![exact_get("/live"), exact_get("/ready")],
            ..Default::default()
        };
        let grpc_route = || inb::GrpcRoute {
            metadata: default_meta("default"),
            rules: vec![inb::grpc_route::Rule {
                matches: vec![linkerd2_proxy_api::grpc_route::GrpcRouteMatch {
                    rpc: Some(Default::default()),
                    headers: vec![],
                }],
                filters: vec![],
            }],
            ..Default::default()
        };
        let limit = |requests_per_second| {
            Some(inb::http_local_rate_limit::Limit {
                requests_per_second,
            })
        };
        let client = "client.shop.serviceaccount.identity.linkerd.cluster.local";
        let ops_client = "client.ops.serviceaccount.identity.linkerd.cluster.local";
        let ops: &[&str] = &[
            "ops",
            "serviceaccount",
            "identity",
            "linkerd",
            "cluster",
            "local",
        ];
        let rate = || inb::HttpLocalRateLimit {
            metadata: resource(
                "policy.linkerd.io",
                "HTTPLocalRateLimitPolicy",
                "shop",
                "web-limit",
                0,
            ),
            total: limit(100),
            identity: limit(20),
            overrides: vec![inb::http_local_rate_limit::Override {
                limit: limit(50),
                clients: Some(inb::http_local_rate_limit::r#override::ClientIdentities {
                    identities: [client, ops_client]
                        .map(|name| inb::Identity { name: name.into() })
                        .to_vec(),
                }),
            }],
        };
        let web_http = inb::Server {
            protocol: inbound(Kind::Http1(Http1 {
                routes: vec![inbound_route(), probes()],
                local_rate_limit: Some(rate()),
            })),
            labels: OF_SERVER("web-http"),
            authorizations: vec![
                policy_authz(
                    "serverauthorization",
                    "front",
                    vec![network("10.0.0.0/8", &["10.9.0.0/16"])],
                    identities(&["spiffe://example.org/ops", client, ops_client], &[ops]),
                ),
                policy_authz("serverauthorization", "open", cluster(), any_tls()),
                policy_authz(
                    "authorizationpolicy",
                    "friends-of-web",
                    vec![
                        network("192.0.2.0/24", &[]),
                        network("2001:db8::/32", &["2001:db8:1::/48"]),
                    ],
                    identities(&[client], &[ops]),
                ),
            ],
            server_ips: vec![],
        };
        let server = |name: &str, kind, authz| inb::Server {
            protocol: inbound(kind),
            labels: OF_SERVER(name),
            authorizations: vec![authz],
            server_ips: vec![],
        };
        let by_default = |name: &str, protocol, authz| inb::Server {
            protocol,
            labels: OF_DEFAULT(name),
            authorizations: vec![authz],
            server_ips: vec![],
        };
        let opaque = || inbound(Kind::Opaque(Opaque {}));
        let web_1 = r#"{"ns":"shop","pod":"web-1"}"#;
        for (what, workload, port, want) in [
            ("a Server by name of the port", web_1, 8080, web_http),
            (
                "a gRPC Server",
                "shop:web-1",
                9100,
                server(
                    "web-metrics",
                    Kind::Grpc(Grpc {
                        routes: vec![grpc_route()],
                    }),
                    in_cluster(),
                ),
            ),
            (
                "no Server",
                "{\"ns\":\"shop\",\"pod\":\"web-1\"}\n",
                9999,
                by_default(
                    "all-unauthenticated",
                    inbound_detect(vec![inbound_route()]),
                    anyone(),
                ),
            ),
            (
                "a default opaque port",
                web_1,
                3306,
                by_default("all-unauthenticated", opaque(), anyone()),
            ),
            (
                "an annotated opaque port",
                "shop:db-0",
                5000,
                by_default("all-unauthenticated", opaque(), anyone()),
            ),
            (
                "not opaque by the annotation",
                "shop:db-0",
                3306,
                by_default(
                    "all-unauthenticated",
                    inbound_detect(vec![inbound_route()]),
                    anyone(),
                ),
            ),
            (
                "an opaque Server with audit",
                "shop:batch-1",
                8090,
                server(
                    "batch-raw",
                    Kind::Opaque(Opaque {}),
                    default_authz("audit", everywhere(), unauthenticated()),
                ),
            ),
            (
                "a TLS Server",
                "shop:batch-1",
                8091,
                server("batch-tls", Kind::Tls(Tls {}), anyone()),
            ),
            (
                "the namespace's policy",
                "strict:api",
                8080,
                by_default(
                    "cluster-authenticated",
                    inbound_detect(vec![inbound_route()]),
                    in_cluster(),
                ),
            ),
            (
                "the namespace's opaque ports",
                "strict:api",
                7100,
                by_default("cluster-authenticated", opaque(), in_cluster()),
            ),
        ] {
            let spec = inb::PortSpec {
                workload: workload.into(),
                port,
            };
            let got = self
                .inbound
                .get_port(spec.clone())
                .await
                .map(|r| r.into_inner());
            checks.same(&format!("server: {what}"), got.ok(), Some(want.clone()));
            let got = async {
                let mut stream = self.inbound.watch_port(spec).await?.into_inner();
                next(&mut stream, SOON).await
            };
            checks.same(
                &format!("server, watched: {what}"),
                got.await.ok().flatten(),
                Some(want),
            );
        }
        for (workload, port, want) in [
            ("shop:web-2", 8081, Code::NotFound), // not in the mesh
            ("shop:nobody", 80, Code::NotFound),
            (
                r#"{"ns":"shop","external_workload":"vm"}"#,
                80,
                Code::NotFound,
            ),
            ("", 80, Code::InvalidArgument),
            ("shop", 80, Code::InvalidArgument),
            ("{\"ns\":\"shop\"}", 80, Code::InvalidArgument),
            ("shop:web-1", 0, Code::InvalidArgument),
            ("shop:web-1", 65536, Code::InvalidArgument),
        ] {
            let spec = inb::PortSpec {
                workload: workload.into(),
                port,
            };
            let got = self.inbound.get_port(spec.clone()).await;
            checks.code(&format!("server of {workload:?} port {port}"), got, want);
            let got = async {
                let mut stream = self.inbound.watch_port(spec).await?.into_inner();
                next(&mut stream, SOON).await
            };
            checks.code(
                &format!("server of {workload:?} port {port}, watched"),
                got.await,
                want,
            );
        }
    }

    // --- outbound policy -------------------------------------------------------------------------

    async fn policies(&mut self, checks: &mut Checks) {
        use out::proxy_protocol::{Http1, Http2, Kind};
        use out::traffic_spec::Target;
        let addr = |text: &str| Some(Target::Addr(tcp(text)));
        let name = |text: &str| Some(Target::Authority(text.into()));
        let of = |svc: &str, port, kind| policy(service("shop", svc, port), kind);
        let http = |svc: &str, port| http_route("http", balancer("shop", svc, port), vec![]);
        let opaq = |svc: &str, port| opaque_route("opaq", balancer("shop", svc, port), vec![]);
        let detected = |svc: &str, port| of(svc, port, detect(http(svc, port), opaq(svc, port)));
        let http1 = |svc: &str, port| {
            let routes = vec![http(svc, port)];
            of(
                svc,
                port,
                Kind::Http1(Http1 {
                    routes,
                    failure_accrual: None,
                }),
            )
        };
        let http2 = |svc: &str, port| {
            let routes = vec![http(svc, port)];
            of(
                svc,
                port,
                Kind::Http2(Http2 {
                    routes,
                    failure_accrual: None,
                }),
            )
        };
        let bytes = |svc: &str, port| of(svc, port, opaque(opaq(svc, port)));
        let undefined = {
            use out::opaque_route::{distribution, filter, Distribution, Filter, Rule};
            let route = out::OpaqueRoute {
                metadata: default_meta("undefined-port"),
                rules: vec![Rule {
                    backends: Some(Distribution {
                        kind: Some(distribution::Kind::Empty(distribution::Empty {})),
                    }),
                    filters: vec![Filter {
                        kind: Some(filter::Kind::Forbidden(Default::default())),
                    }],
                }],
            };
            of("web", 81, opaque(route))
        };
        let fallback = |to: &str| {
            let backend = forward(default_meta("egress-fallback"), to);
            policy(
                default_meta("egress-fallback"),
                detect(
                    http_route("egress-fallback", backend.clone(), vec![]),
                    opaque_route("egress-fallback", backend, vec![]),
                ),
            )
        };
        let egress = |ns: &str, network: &str, to: &str, port, allow: bool| {
            let meta = resource("policy.linkerd.io", "EgressNetwork", ns, network, port);
            let backend = forward(meta.clone(), to);
            let (http, tcp) = if allow {
                (vec![], vec![])
            } else {
                (
                    vec![out::http_route::Filter {
                        kind: Some(out::http_route::filter::Kind::FailureInjector(
                            hr::HttpFailureInjector {
                                status: 403,
                                message: "traffic not allowed".into(),
                                ratio: None,
                            },
                        )),
                    }],
                    vec![out::opaque_route::Filter {
                        kind: Some(out::opaque_route::filter::Kind::Forbidden(
                            Default::default(),
                        )),
                    }],
                )
            };
            let which = if allow { "allow" } else { "deny" };
            policy(
                meta,
                detect(
                    http_route(&format!("http-egress-{which}"), backend.clone(), http),
                    opaque_route(&format!("tcp-egress-{which}"), backend, tcp),
                ),
            )
        };
        let shop = r#"{"ns":"shop","pod":"web-1"}"#;
        for (what, source, target, want) in [
            (
                "a service by address",
                shop,
                addr("10.96.0.1:80"),
                detected("web", 80),
            ),
            (
                "by its IPv6 address",
                shop,
                addr("[fd00:10:96::1]:80"),
                detected("web", 80),
            ),
            (
                "by name",
                "default:diagnostics",
                name("web.shop.svc:80"),
                detected("web", 80),
            ),
            (
                "by full name",
                shop,
                name("web.shop.svc.cluster.local"),
                detected("web", 80),
            ),
            (
                "by full name with a dot",
                shop,
                name("web.shop.svc.cluster.local.:80"),
                detected("web", 80),
            ),
            (
                "a name that nobody has",
                shop,
                name("nothing.shop.svc:80"),
                detected("nothing", 80),
            ),
            (
                "a port that is not there",
                shop,
                addr("10.96.0.1:81"),
                undefined,
            ),
            (
                "appProtocol http",
                shop,
                addr("10.96.0.3:81"),
                http1("apps", 81),
            ),
            (
                "appProtocol h2c",
                shop,
                addr("10.96.0.3:82"),
                http2("apps", 82),
            ),
            (
                "appProtocol opaque",
                shop,
                addr("10.96.0.3:83"),
                bytes("apps", 83),
            ),
            (
                "appProtocol unknown",
                shop,
                addr("10.96.0.3:84"),
                bytes("apps", 84),
            ),
            (
                "an annotated opaque port",
                shop,
                addr("10.96.0.3:85"),
                bytes("apps", 85),
            ),
            (
                "appProtocol before annotation",
                shop,
                addr("10.96.0.3:86"),
                http1("apps", 86),
            ),
            (
                "annotation before default list",
                shop,
                addr("10.96.0.3:3306"),
                detected("apps", 3306),
            ),
            (
                "a default opaque port",
                shop,
                addr("10.96.0.4:3306"),
                bytes("mysql", 3306),
            ),
            (
                "outside",
                shop,
                addr("172.16.0.1:443"),
                fallback("172.16.0.1:443"),
            ),
            (
                "outside over IPv6",
                shop,
                addr("[2001:db8::1]:443"),
                fallback("[2001:db8::1]:443"),
            ),
            (
                "a denied egress network",
                shop,
                addr("203.0.113.9:443"),
                egress("shop", "partner", "203.0.113.9:443", 443, false),
            ),
            (
                "its exception",
                shop,
                addr("203.0.113.200:443"),
                fallback("203.0.113.200:443"),
            ),
            (
                "another namespace's network",
                "other:pod",
                addr("203.0.113.9:443"),
                fallback("203.0.113.9:443"),
            ),
            (
                "a global egress network",
                "other:pod",
                addr("198.51.100.9:80"),
                egress("linkerd-egress", "everything", "198.51.100.9:80", 80, true),
            ),
        ] {
            let spec = out::TrafficSpec {
                source_workload: source.into(),
                target,
            };
            let got = self
                .outbound
                .get(spec.clone())
                .await
                .map(|r| r.into_inner());
            checks.same(&format!("policy: {what}"), got.ok(), Some(want.clone()));
            let got = async {
                let mut stream = self.outbound.watch(spec).await?.into_inner();
                next(&mut stream, SOON).await
            };
            checks.same(
                &format!("policy, watched: {what}"),
                got.await.ok().flatten(),
                Some(want),
            );
        }
        let no_ip = Some(Target::Addr(linkerd2_proxy_api::net::TcpAddress {
            ip: None,
            port: 80,
        }));
        let no_port = addr("10.96.0.1:0");
        for (what, source, target, want) in [
            (
                "a pod's address",
                shop,
                addr("10.244.0.11:8080"),
                Code::NotFound,
            ),
            ("another name", shop, name("example.com:80"), Code::NotFound),
            (
                "an instance",
                shop,
                name("db-0.db.shop.svc:80"),
                Code::NotFound,
            ),
            ("no name", shop, name(""), Code::InvalidArgument),
            ("no target", shop, None, Code::InvalidArgument),
            ("no address", shop, no_ip, Code::InvalidArgument),
            ("no port", shop, no_port, Code::InvalidArgument),
            ("no source", "", addr("10.96.0.1:80"), Code::InvalidArgument),
        ] {
            let spec = out::TrafficSpec {
                source_workload: source.into(),
                target,
            };
            let got = self.outbound.get(spec.clone()).await;
            checks.code(&format!("policy of {what}"), got, want);
            let got = async {
                let mut stream = self.outbound.watch(spec).await?.into_inner();
                next(&mut stream, SOON).await
            };
            checks.code(&format!("policy of {what}, watched"), got.await, want);
        }
    }

    // --- what happens when the folder changes ----------------------------------------------------

    fn write(&self, name: &str, text: &str) {
        let path = format!("{}/{name}", self.manifests);
        std::fs::write(format!("{path}.tmp"), text).expect(name);
        std::fs::rename(format!("{path}.tmp"), path).expect(name);
    }

    async fn changes(&mut self, checks: &mut Checks) {
        let on_a = r#"{"ns":"shop","nodeName":"node-a","pod":"client"}"#;
        let web =
            std::fs::read_to_string(format!("{}/web.yaml", self.manifests)).expect("web.yaml");
        let path = "web.shop.svc.cluster.local:80";
        let mut endpoints = self.get(path, on_a).await.expect("endpoints");
        let mut profile = self
            .get_profile("10.96.0.1:80", on_a)
            .await
            .expect("profile");
        let spec = out::TrafficSpec {
            source_workload: "shop:web-1".into(),
            target: Some(out::traffic_spec::Target::Addr(tcp("10.96.0.1:80"))),
        };
        let mut policy = self
            .outbound
            .watch(spec)
            .await
            .expect("policy")
            .into_inner();
        let spec = inb::PortSpec {
            workload: "shop:web-2".into(),
            port: 8081,
        };
        let mut first = (
            next(&mut endpoints, SOON).await,
            next(&mut profile, SOON).await,
            next(&mut policy, SOON).await,
        );
        checks.same(
            "streams begin",
            (first.0.is_ok(), first.1.is_ok(), first.2.is_ok()),
            (true, true, true),
        );
        let before = Instant::now();

        // Half of a file: nothing is said, nothing is lost.
        self.write("web.yaml", &web[..web.len() / 2 + 7]);
        let quiet = next(&mut endpoints, Duration::from_millis(300)).await;
        checks.code("half of a file says nothing", quiet, Code::DeadlineExceeded);

        // A pod goes.
        let without_v4 = web
            .split("\n---\n")
            .take(2)
            .chain(web.split("\n---\n").skip(3));
        let gone: String = without_v4.collect::<Vec<_>>().join("\n---\n");
        self.write("web.yaml", &gone);
        let got = next(&mut endpoints, SOON).await.ok().flatten();
        checks.same("an endpoint goes", got, Some(remove(&["10.244.0.13:8080"])));

        // It comes back, and the Service says that its port is opaque.
        let opaque_web = web.replacen(
            "metadata: {name: web, namespace: shop}",
            "metadata: {name: web, namespace: shop, annotations: {config.linkerd.io/opaque-ports: \"80\"}}",
            1,
        );
        self.write("web.yaml", &opaque_web);
        let got = next(&mut endpoints, SOON).await.ok().flatten();
        checks.same("an endpoint comes", got, Some(add(vec![web_3()], IN_WEB)));
        let got = next(&mut profile, SOON).await.ok().flatten();
        checks.same(
            "the profile is opaque",
            got.map(|p| p.opaque_protocol),
            Some(true),
        );
        let got = next(&mut policy, SOON).await.ok().flatten();
        let route = opaque_route("opaq", balancer("shop", "web", 80), vec![]);
        let want = crate::make::policy(service("shop", "web", 80), opaque(route));
        checks.same("the policy is opaque", got, Some(want));

        // A pod joins the mesh: its endpoint is said anew.
        let base =
            std::fs::read_to_string(format!("{}/base.yaml", self.manifests)).expect("base.yaml");
        let joined = base.replacen("labels: {app: web, pod-template-hash: 7abc}",
            "labels: {app: web, linkerd.io/control-plane-ns: linkerd, pod-template-hash: 7abc}", 1)
            .replacen("containers: [{name: app, ports: [{name: http, containerPort: 8081}]}]",
                "containers: [{name: linkerd-proxy}, {name: app, ports: [{name: http, containerPort: 8081}]}]", 1);
        self.write("base.yaml", &joined);
        let mut want = web_2("remote");
        want.metric_labels
            .insert("control_plane_ns".into(), "linkerd".into());
        let want = with_identity(meshed(want, false, 4143), DEFAULT_IN_SHOP);
        let got = next(&mut endpoints, SOON).await.ok().flatten();
        checks.same("a pod joins the mesh", got, Some(add(vec![want], IN_WEB)));
        let mut server = self
            .inbound
            .watch_port(spec)
            .await
            .expect("server")
            .into_inner();
        let got = next(&mut server, SOON).await.ok().flatten();
        let name = got.and_then(|s| s.labels.get("name").cloned());
        checks.same("and has a policy", name.as_deref(), Some("web-http"));

        // An older Server selects it, too.
        self.write("server.yaml", concat!(
            "apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata: {name: late, namespace: shop, creationTimestamp: \"2020-01-01T00:00:00Z\"}\n",
            "spec: {podSelector: {matchLabels: {pod-template-hash: 7abc}}, port: 8081, proxyProtocol: opaque, accessPolicy: deny}\n"));
        let got = next(&mut server, SOON).await.ok().flatten();
        let want = inb::Server {
            protocol: inbound(inb::proxy_protocol::Kind::Opaque(Default::default())),
            labels: labels(&[
                ("group", "policy.linkerd.io"),
                ("kind", "server"),
                ("name", "late"),
            ]),
            ..Default::default()
        };
        checks.same("a Server comes", got, Some(want));
        let got = next(&mut endpoints, SOON).await.ok().flatten();
        let hint = match got.and_then(|u| u.update) {
            Some(dst::update::Update::Add(set)) => set.addrs[0].protocol_hint.clone(),
            _ => None,
        };
        let opaque_hint = dst::protocol_hint::Protocol::Opaque(dst::protocol_hint::Opaque {});
        checks.same(
            "and makes the endpoint opaque",
            hint.and_then(|h| h.protocol),
            Some(opaque_hint),
        );
        std::fs::remove_file(format!("{}/server.yaml", self.manifests)).expect("server.yaml");
        let got = next(&mut server, SOON).await.ok().flatten();
        let name = got.and_then(|s| s.labels.get("name").cloned());
        checks.same("the Server goes", name.as_deref(), Some("web-http"));
        let _ = next(&mut endpoints, SOON).await;

        // Everything goes, and comes back.
        self.write("web.yaml", "# nothing\n");
        std::fs::remove_file(format!("{}/web.yaml", self.manifests)).expect("web.yaml");
        let got = next(&mut endpoints, SOON).await.ok().flatten();
        checks.same("the service goes", got, Some(no_endpoints(false)));
        self.write("web.yaml", &web);
        let got = next(&mut endpoints, SOON).await.ok().flatten().map(sorted);
        let count = match got.and_then(|u| u.update) {
            Some(dst::update::Update::Add(set)) => set.addrs.len(),
            _ => 0,
        };
        checks.same("the service comes back", count, 3);
        first.0 = Ok(None);
        println!("changes took {:?}", before.elapsed());
    }
}
