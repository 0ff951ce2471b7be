//! Whether the server's addresses are free, or its own already.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use ddes_identity::{PublicKey, ServerAddress};
use serde_json::Value;

use super::Finding;
use crate::api;
use crate::args::{HTTP_DEFAULT, HttpPlace, ServeArgs, SuiteName};
use crate::check;
use crate::home::{Home, public_path, read_public_file};

const TOPIC: &str = "ports";
/// The longest wait for whatever has a port.
const ASK_MAX: Duration = Duration::from_secs(5);

pub(super) fn look(args: &ServeArgs, home: &Home) -> Vec<Finding> {
    let own = read_public_file(&public_path(&home.server_key())).ok();
    let mut findings = vec![protocol(args.listen, own)];
    match args.http.http.unwrap_or(HTTP_DEFAULT) {
        HttpPlace::At(address) => findings.push(http(address, own, args.http.http.is_some())),
        HttpPlace::Off => {}
    }
    findings
}

fn protocol(address: SocketAddr, own: Option<PublicKey>) -> Finding {
    let error = match TcpListener::bind(address) {
        Ok(_) => return free(address),
        Err(error) => error,
    };
    if error.kind() != io::ErrorKind::AddrInUse {
        return unusable(address, &error, "--listen");
    }
    let elsewhere =
        format!("ss -ltnp sport = :{}     (who has it); or --listen ADDR:PORT", address.port());
    match met(address) {
        Some(key) if own == Some(key) => {
            Finding::ok(TOPIC, format!("{address} is this home's server, which runs"))
        }
        Some(key) => {
            let key = key.fingerprint();
            Finding::fail(
                TOPIC,
                format!("another server has {address}, with the key {key}"),
                elsewhere,
            )
        }
        None => Finding::fail(TOPIC, format!("another program has {address}"), elsewhere),
    }
}

/// The key of the server there, if it is one.
fn met(address: SocketAddr) -> Option<PublicKey> {
    let server: ServerAddress = reachable(address).to_string().parse().ok()?;
    check::meet(&server, SuiteName::Hybrid.into(), ASK_MAX).ok()
}

/// `is_named`: a server that was told this address does not start without it.
fn http(address: SocketAddr, own: Option<PublicKey>, is_named: bool) -> Finding {
    let error = match TcpListener::bind(address) {
        Ok(_) => return free(address),
        Err(error) => error,
    };
    if error.kind() != io::ErrorKind::AddrInUse {
        return unusable(address, &error, "--http");
    }
    let whose = match page_of(address) {
        PageOwner::Of(key) if own.is_some_and(|own| own.fingerprint() == key) => {
            return Finding::ok(TOPIC, format!("{address} (HTTP) is this home's server's"));
        }
        PageOwner::Of(key) => format!("another server, with the key {key},"),
        PageOwner::Untold => {
            let text = format!("{address} (HTTP) is a server's; whose, it tells no stranger");
            return Finding::ok(TOPIC, text);
        }
        PageOwner::Foreign => "another program".into(),
    };
    let text = format!("{whose} has {address}, where the page and metrics would be");
    let remedy = "ddes serve --http ADDR:PORT, or --http off";
    match is_named {
        true => Finding::fail(TOPIC, format!("{text}: a server does not start"), remedy),
        false => Finding::warn(TOPIC, text, remedy),
    }
}

/// Whose page is at an address.
enum PageOwner {
    /// A server's with this fingerprint.
    Of(String),
    /// A server's, which wants a token.
    Untold,
    /// No server's.
    Foreign,
}

fn page_of(address: SocketAddr) -> PageOwner {
    let Ok(server) = reachable(address).to_string().parse::<ServerAddress>() else {
        return PageOwner::Foreign;
    };
    let get = |path| api::ask(&server, path, ASK_MAX).ok();
    if !get("/livez").is_some_and(|live| live.status == 200 && live.body.trim_ascii() == b"ok") {
        return PageOwner::Foreign;
    }
    let overview = get("/api/v1/overview").filter(|answer| answer.status == 200);
    let overview = overview.and_then(|answer| serde_json::from_slice::<Value>(&answer.body).ok());
    let key = overview.as_ref().and_then(|json| json["server"]["fingerprint"].as_str());
    key.map_or(PageOwner::Untold, |key| PageOwner::Of(api::plain(key)))
}

fn free(address: SocketAddr) -> Finding {
    Finding::ok(TOPIC, format!("{address} is free"))
}

fn unusable(address: SocketAddr, error: &io::Error, flag: &str) -> Finding {
    let remedy = if error.kind() == io::ErrorKind::PermissionDenied {
        format!("{flag} with a port above 1023; or ddes.socket, where systemd takes the port")
    } else if error.kind() == io::ErrorKind::AddrNotAvailable {
        format!("{flag} with an address of this machine: ip -brief address")
    } else {
        format!("{flag} ADDR:PORT")
    };
    Finding::fail(TOPIC, format!("{address} cannot be listened on: {error}"), remedy)
}

/// Where a server that listens on all addresses answers.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}
