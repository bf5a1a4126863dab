// SPDX-License-Identifier: Apache-2.0
//! A control plane that says what Linkerd's says, as a test tells it to: identity, destination and
//! policy in plain text, to stand behind proxies as Linkerd's own programs do.
//!
//! CONFIG, read again whenever it changes (but for `listen`):
//! `listen`: roles ("identity", "destination", "policy") and addresses;
//! `issuer`: a folder with issuer.crt and issuer.key; `lifetime`: seconds; `tokens`: identity → token;
//! `log`: a file that gets a line for each certificate and each request of a stream;
//! `services`: `ns`, `name`, `ips`, `port`, `opaque`, `endpoints` (`pod`, an index, and `port`);
//! `pods`: `ns`, `name`, `ips`, `identity` ("" = no proxy), `opaque_ports`;
//! `transport_header`: to every meshed port, not only to opaque ones;
//! `servers`: `workload` ("ns:pod"), `port`, `name`, `protocol`, `allow` (identities, "*" for all).
use crate::make;
use linkerd2_proxy_api::{
    destination as dst,
    destination::destination_server::{Destination, DestinationServer},
    http_route as hr, identity as idn,
    identity::identity_server::{Identity, IdentityServer},
    inbound as inb,
    inbound::inbound_server_policies_server::{InboundServerPolicies, InboundServerPoliciesServer},
    outbound as out,
    outbound::outbound_policies_server::{OutboundPolicies, OutboundPoliciesServer},
};
use serde_json::Value;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{transport, Request, Response, Status};

type Messages<T> = ReceiverStream<Result<T, Status>>;
type State = watch::Receiver<Arc<Value>>;

#[derive(Clone)]
struct Control(State);

pub async fn run(config: &str) -> bool {
    let first = crate::read_json(config);
    let (tell, state) = watch::channel(Arc::new(first.clone()));
    let mut tasks = tokio::task::JoinSet::new();
    for (role, addr) in first["listen"].as_object().expect("listen") {
        let addr: SocketAddr = text(addr).parse().expect("an address");
        let control = Control(state.clone());
        let mut server = transport::Server::builder();
        let router = match role.as_str() {
            "identity" => server.add_service(IdentityServer::new(control)),
            "destination" => server.add_service(DestinationServer::new(control)),
            _ => server
                .add_service(InboundServerPoliciesServer::new(control.clone()))
                .add_service(OutboundPoliciesServer::new(control)),
        };
        tasks.spawn(async move { router.serve(addr).await.expect("serve") });
    }
    let config = config.to_string();
    tasks.spawn(async move {
        let mut stamp = None;
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = std::fs::metadata(&config).and_then(|m| m.modified()).ok();
            if now != stamp {
                stamp = now;
                tell.send_replace(Arc::new(crate::read_json(&config)));
            }
        }
    });
    let _ = tasks.join_next().await;
    false // none of them ends
}

// --- the state ---------------------------------------------------------------------------------------

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn port(value: &Value) -> u32 {
    value.as_u64().unwrap_or_default() as u32
}

fn note(state: &Value, line: &str) {
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).append(true).open(text(&state["log"]));
    file.and_then(|mut f| writeln!(f, "{line}")).expect("log");
}

fn has_ip(object: &Value, addr: &SocketAddr) -> bool {
    list(&object["ips"]).any(|ip| text(ip).parse() == Ok(addr.ip()))
}

fn fqdn(service: &Value) -> String {
    format!(
        "{}.{}.svc.cluster.local",
        text(&service["name"]),
        text(&service["ns"])
    )
}

/// By address or by name, with the port that was asked for.
fn service_at<'a>(state: &'a Value, target: &str) -> Option<(&'a Value, u32)> {
    let (host, port) = target.rsplit_once(':')?;
    let addr: Option<SocketAddr> = target.parse().ok();
    let service = list(&state["services"]).find(|s| match &addr {
        Some(addr) => has_ip(s, addr),
        None => fqdn(s) == host,
    })?;
    Some((service, port.parse().ok()?))
}

fn endpoint(state: &Value, pod: &Value, ip: &str, port: u32) -> dst::WeightedAddr {
    let addr = SocketAddr::new(ip.parse().expect(ip), port as u16).to_string();
    let name = text(&pod["name"]);
    let labels = [
        ("pod", name),
        ("deployment", name),
        ("zone", ""),
        ("zone_locality", "unknown"),
    ];
    let plain = make::endpoint(&addr, &labels);
    let identity = text(&pod["identity"]);
    if identity.is_empty() {
        return plain;
    }
    let opaque = list(&pod["opaque_ports"]).any(|p| self::port(p) == port);
    let mut meshed = make::with_identity(make::meshed(plain, opaque, 4143), identity);
    if !opaque && state["transport_header"] != true {
        meshed.protocol_hint.as_mut().unwrap().opaque_transport = None;
    }
    meshed
}

fn endpoints(state: &Value, path: &str) -> Result<Vec<dst::WeightedAddr>, Status> {
    let (service, _) =
        service_at(state, path).ok_or_else(|| Status::not_found("no such service"))?;
    let of = |e: &Value| {
        let pod = &state["pods"][e["pod"].as_u64().expect("pod") as usize];
        endpoint(state, pod, text(&pod["ips"][0]), port(&e["port"]))
    };
    Ok(list(&service["endpoints"]).map(of).collect())
}

fn profile(state: &Value, path: &str) -> Result<dst::DestinationProfile, Status> {
    if let Some((service, port)) = service_at(state, path) {
        if self::port(&service["port"]) != port {
            return Ok(dst::DestinationProfile::default());
        }
        let (ns, name) = (text(&service["ns"]), text(&service["name"]));
        return Ok(dst::DestinationProfile {
            fully_qualified_name: fqdn(service),
            opaque_protocol: service["opaque"] == true,
            retry_budget: make::budget(),
            parent_ref: make::service(ns, name, port),
            profile_ref: make::resource("linkerd.io", "", ns, "", 0),
            ..Default::default()
        });
    }
    let Ok(addr) = path.parse::<SocketAddr>() else {
        return Err(Status::invalid_argument("not a service"));
    };
    let mut out = dst::DestinationProfile {
        retry_budget: make::budget(),
        ..Default::default()
    };
    out.endpoint = Some(match list(&state["pods"]).find(|p| has_ip(p, &addr)) {
        None => make::endpoint(path, &[]),
        Some(pod) => {
            let port = addr.port().into();
            out.opaque_protocol = list(&pod["opaque_ports"]).any(|p| self::port(p) == port);
            endpoint(state, pod, &addr.ip().to_string(), port)
        }
    });
    Ok(out)
}

fn server(state: &Value, spec: &inb::PortSpec) -> Result<inb::Server, Status> {
    use inb::proxy_protocol::{Http1, Kind, Opaque};
    let workload: Value = serde_json::from_str(&spec.workload)
        .map_err(|_| Status::invalid_argument("not a workload"))?;
    let workload = format!("{}:{}", text(&workload["ns"]), text(&workload["pod"]));
    let known = |p: &Value| format!("{}:{}", text(&p["ns"]), text(&p["name"])) == workload;
    let pod = list(&state["pods"]).find(|p| known(p));
    let pod = pod.ok_or_else(|| Status::not_found("no such pod"))?;
    let opaque = list(&pod["opaque_ports"]).any(|p| port(p) == spec.port);
    let kind = |name: &str| match name {
        "opaque" => Kind::Opaque(Opaque {}),
        "HTTP/1" => Kind::Http1(Http1 {
            routes: vec![make::inbound_route()],
            local_rate_limit: None,
        }),
        _ => Kind::Detect(inb::proxy_protocol::Detect {
            timeout: make::ms(10_000),
            http_routes: vec![make::inbound_route()],
            http_local_rate_limit: None,
        }),
    };
    let of_port = |s: &&Value| text(&s["workload"]) == workload && port(&s["port"]) == spec.port;
    let Some(server) = list(&state["servers"]).find(of_port) else {
        let name = "all-unauthenticated";
        return Ok(inb::Server {
            protocol: make::inbound(kind(if opaque { "opaque" } else { "" })),
            labels: make::labels(&[("group", ""), ("kind", "default"), ("name", name)]),
            authorizations: vec![make::default_authz(
                name,
                make::everywhere(),
                make::unauthenticated(),
            )],
            ..Default::default()
        });
    };
    let names: Vec<&str> = list(&server["allow"]).map(text).collect();
    let everyone: &[&[&str]] = if names == ["*"] { &[&[]] } else { &[] };
    let authn = make::identities(if everyone.is_empty() { &names } else { &[] }, everyone);
    let authz = make::policy_authz("authorizationpolicy", "allowed", make::everywhere(), authn);
    Ok(inb::Server {
        protocol: make::inbound(kind(text(&server["protocol"]))),
        labels: make::labels(&[
            ("group", "policy.linkerd.io"),
            ("kind", "server"),
            ("name", text(&server["name"])),
        ]),
        authorizations: if names.is_empty() {
            vec![]
        } else {
            vec![authz]
        },
        ..Default::default()
    })
}

#[allow(deprecated)] // Linkerd still fills both fields of the request's timeout
fn policy(state: &Value, spec: &out::TrafficSpec) -> Result<out::OutboundPolicy, Status> {
    use out::traffic_spec::Target;
    let target = match &spec.target {
        Some(Target::Addr(addr)) => SocketAddr::try_from(addr.clone())
            .map_err(|_| Status::invalid_argument("not an address"))?
            .to_string(),
        Some(Target::Authority(name)) => name.clone(),
        None => return Err(Status::invalid_argument("no target")),
    };
    let Some((service, port)) = service_at(state, &target) else {
        return Err(Status::not_found("no such service"));
    };
    let (ns, name) = (text(&service["ns"]), text(&service["name"]));
    let meta = make::service(ns, name, port);
    if self::port(&service["port"]) != port {
        use out::opaque_route::{distribution, filter, Distribution, Filter, Rule};
        let route = out::OpaqueRoute {
            metadata: make::default_meta("undefined-port"),
            rules: vec![Rule {
                backends: Some(Distribution {
                    kind: Some(distribution::Kind::Empty(Default::default())),
                }),
                filters: vec![Filter {
                    kind: Some(filter::Kind::Forbidden(Default::default())),
                }],
            }],
        };
        return Ok(make::policy(meta, make::opaque(route)));
    }
    let bytes = make::opaque_route("opaq", make::balancer(ns, name, port), vec![]);
    if service["opaque"] == true {
        return Ok(make::policy(meta, make::opaque(bytes)));
    }
    // With everything in it that a Service may be annotated with.
    let mut http = make::http_route("http", make::balancer(ns, name, port), vec![]);
    let backoff = Some(out::ExponentialBackoff {
        min_backoff: make::ms(25),
        max_backoff: make::ms(250),
        jitter_ratio: 1.0,
        ..Default::default()
    });
    let rule = &mut http.rules[0];
    rule.timeouts = Some(hr::Timeouts {
        request: make::ms(20_000),
        ..Default::default()
    });
    rule.request_timeout = make::ms(20_000);
    rule.retry = Some(out::http_route::Retry {
        max_retries: 1,
        max_request_bytes: 65_536,
        conditions: Some(out::http_route::retry::Conditions {
            status_ranges: vec![out::http_route::retry::conditions::StatusRange {
                start: 502,
                end: 504,
            }],
        }),
        timeout: None,
        backoff,
    });
    let mut kind = make::detect(http, bytes);
    if let out::proxy_protocol::Kind::Detect(detect) = &mut kind {
        let accrual = Some(out::FailureAccrual {
            kind: Some(out::failure_accrual::Kind::ConsecutiveFailures(
                out::failure_accrual::ConsecutiveFailures {
                    max_failures: 7,
                    backoff: Some(out::ExponentialBackoff {
                        min_backoff: make::ms(1_000),
                        max_backoff: make::ms(60_000),
                        jitter_ratio: 0.5,
                        ..Default::default()
                    }),
                },
            )),
            ..Default::default()
        });
        detect.http1.as_mut().unwrap().failure_accrual = accrual.clone();
        detect.http2.as_mut().unwrap().failure_accrual = accrual;
    }
    Ok(make::policy(meta, kind))
}

// --- the services --------------------------------------------------------------------------------------

/// What `compute` makes of the state, again whenever it makes something else. What cannot be computed
/// any more ends the stream.
fn follow<T>(
    mut state: State,
    compute: impl Fn(&Value) -> Result<T, Status> + Send + 'static,
) -> Result<Response<Messages<T>>, Status>
where
    T: Clone + PartialEq + Send + 'static,
{
    let now = state.borrow_and_update().clone();
    let mut last = compute(&now)?;
    let (send, receive) = mpsc::channel(4);
    tokio::spawn(async move {
        if send.send(Ok(last.clone())).await.is_err() {
            return;
        }
        while state.changed().await.is_ok() {
            let now = state.borrow_and_update().clone();
            let Ok(next) = compute(&now) else { return };
            if next != last && send.send(Ok(next.clone())).await.is_err() {
                return;
            }
            last = next;
        }
    });
    Ok(Response::new(ReceiverStream::new(receive)))
}

#[tonic::async_trait]
impl Destination for Control {
    type GetStream = Messages<dst::Update>;
    type GetProfileStream = Messages<dst::DestinationProfile>;

    /// Changes from one set to the next, nothing while there is nobody: as Linkerd has it.
    async fn get(
        &self,
        request: Request<dst::GetDestination>,
    ) -> Result<Response<Self::GetStream>, Status> {
        let path = request.into_inner().path;
        let mut state = self.0.clone();
        let now = state.borrow_and_update().clone();
        note(&now, &format!("get {path}"));
        let mut next = endpoints(&now, &path)?;
        let (send, receive) = mpsc::channel(16);
        tokio::spawn(async move {
            let mut last: Vec<dst::WeightedAddr> = vec![];
            loop {
                let added: Vec<_> = next.iter().filter(|e| !last.contains(e)).cloned().collect();
                let stays = |e: &dst::WeightedAddr| next.iter().any(|n| n.addr == e.addr);
                let removed = last
                    .iter()
                    .filter(|e| !stays(e))
                    .flat_map(|e| e.addr.clone())
                    .collect();
                let removed = dst::AddrSet { addrs: removed };
                let mut updates = vec![];
                if !added.is_empty() {
                    updates.push(make::add(
                        added,
                        &[("namespace", "shop"), ("service", &path)],
                    ));
                }
                if !removed.addrs.is_empty() {
                    updates.push(dst::Update {
                        update: Some(dst::update::Update::Remove(removed)),
                    });
                }
                for update in updates {
                    if send.send(Ok(update)).await.is_err() {
                        return;
                    }
                }
                last = next;
                if state.changed().await.is_err() {
                    return;
                }
                let now = state.borrow_and_update().clone();
                next = endpoints(&now, &path).unwrap_or_default();
            }
        });
        Ok(Response::new(ReceiverStream::new(receive)))
    }

    async fn get_profile(
        &self,
        request: Request<dst::GetDestination>,
    ) -> Result<Response<Self::GetProfileStream>, Status> {
        let path = request.into_inner().path;
        note(&self.0.borrow(), &format!("profile {path}"));
        follow(self.0.clone(), move |state| profile(state, &path))
    }
}

#[tonic::async_trait]
impl InboundServerPolicies for Control {
    type WatchPortStream = Messages<inb::Server>;

    async fn get_port(
        &self,
        request: Request<inb::PortSpec>,
    ) -> Result<Response<inb::Server>, Status> {
        Ok(Response::new(server(&self.0.borrow(), request.get_ref())?))
    }

    async fn watch_port(
        &self,
        request: Request<inb::PortSpec>,
    ) -> Result<Response<Self::WatchPortStream>, Status> {
        let spec = request.into_inner();
        note(
            &self.0.borrow(),
            &format!("port {} {}", spec.port, spec.workload.trim()),
        );
        follow(self.0.clone(), move |state| server(state, &spec))
    }
}

#[tonic::async_trait]
impl OutboundPolicies for Control {
    type WatchStream = Messages<out::OutboundPolicy>;

    async fn get(
        &self,
        request: Request<out::TrafficSpec>,
    ) -> Result<Response<out::OutboundPolicy>, Status> {
        Ok(Response::new(policy(&self.0.borrow(), request.get_ref())?))
    }

    async fn watch(
        &self,
        request: Request<out::TrafficSpec>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let spec = request.into_inner();
        note(&self.0.borrow(), &format!("policy {:?}", spec.target));
        follow(self.0.clone(), move |state| policy(state, &spec))
    }
}

#[tonic::async_trait]
impl Identity for Control {
    async fn certify(
        &self,
        request: Request<idn::CertifyRequest>,
    ) -> Result<Response<idn::CertifyResponse>, Status> {
        let request = request.into_inner();
        let state = self.0.borrow().clone();
        let token = text(&state["tokens"][&request.identity]);
        if token.is_empty() || token.as_bytes() != request.token.trim_ascii() {
            return Err(Status::failed_precondition("not its token"));
        }
        let leaf = sign(text(&state["issuer"]), &request.certificate_signing_request)
            .map_err(|e| Status::internal(e.to_string()))?;
        let chain = std::fs::read(format!("{}/issuer.der", text(&state["issuer"])))?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock")
            .as_secs();
        note(&state, &format!("certificate {}", request.identity));
        Ok(Response::new(idn::CertifyResponse {
            leaf_certificate: leaf,
            intermediate_certificates: vec![chain],
            valid_until: Some(prost_types::Timestamp {
                seconds: (now + state["lifetime"].as_u64().unwrap_or(86_400)) as i64,
                nanos: 0,
            }),
        }))
    }
}

/// By OpenSSL, which takes the names over from the request. Blocks, which nobody minds here.
fn sign(folder: &str, csr: &[u8]) -> std::io::Result<Vec<u8>> {
    use std::process::{Command, Stdio};
    let file = |name: &str| format!("{folder}/{name}");
    let mut child = Command::new("openssl")
        .args([
            "x509",
            "-req",
            "-inform",
            "DER",
            "-outform",
            "DER",
            "-days",
            "1",
            "-copy_extensions",
            "copyall",
        ])
        .args([
            "-CA",
            &file("issuer.crt"),
            "-CAkey",
            &file("issuer.key"),
            "-extfile",
            &file("leaf.cnf"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    child.stdin.take().expect("stdin").write_all(csr)?;
    let done = child.wait_with_output()?;
    if !done.status.success() {
        return Err(std::io::Error::other("openssl does not sign"));
    }
    Ok(done.stdout)
}
