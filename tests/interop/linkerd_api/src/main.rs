// SPDX-License-Identifier: Apache-2.0
//! Speaks Linkerd's proxy API through Linkerd's own crate.
//!
//! `client CONFIG` asks a running tulle-control and compares whole messages with what they must be;
//! `server CONFIG` is a small control plane of its own, for tulle-proxy. CONFIG is JSON; its keys are
//! named where they are read.
mod client;
mod make;
mod server;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, role, config] = arguments.as_slice() else {
        eprintln!("usage: linkerd-api-peer client|server CONFIG");
        std::process::exit(64);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    let ok = runtime.block_on(async {
        match role.as_str() {
            "client" => client::run(config).await,
            "server" => server::run(config).await,
            _ => false,
        }
    });
    std::process::exit(if ok { 0 } else { 1 });
}

/// A JSON file, whole.
fn read_json(path: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}
