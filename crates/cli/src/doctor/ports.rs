//! Whether the server's addresses are free, or its own already.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use ddes_identity::{PublicKey, ServerAddress};

use super::Finding;
use crate::api;
use crate::args::address::Http;
use crate::args::{DoctorArgs, SuiteName};
use crate::check;
use crate::home::{Home, public_path, read_public_file};

const TOPIC: &str = "ports";
/// The longest wait for whatever has a port.
const ASK_MAX: Duration = Duration::from_secs(5);

pub(super) fn look(args: &DoctorArgs, home: &Home) -> Vec<Finding> {
    let mut findings = vec![protocol(args.listen, home)];
    match args.http {
        Http::At(address) => findings.push(http(address)),
        Http::Off => {}
    }
    findings
}

fn protocol(address: SocketAddr, home: &Home) -> Finding {
    let error = match TcpListener::bind(address) {
        Ok(_) => return free(address),
        Err(error) => error,
    };
    if error.kind() != io::ErrorKind::AddrInUse {
        return unusable(address, &error, "--listen");
    }
    let elsewhere =
        format!("ss -ltnp sport = :{}     (who has it); or --listen ADDR:PORT", address.port());
    let own = read_public_file(&public_path(&home.server_key())).ok();
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

fn http(address: SocketAddr) -> Finding {
    let error = match TcpListener::bind(address) {
        Ok(_) => return free(address),
        Err(error) => error,
    };
    if error.kind() != io::ErrorKind::AddrInUse {
        return unusable(address, &error, "--http");
    }
    let server = reachable(address).to_string().parse::<ServerAddress>();
    let answer = server.ok().and_then(|server| api::ask(&server, "/livez", ASK_MAX).ok());
    match answer {
        Some(answer) if answer.status == 200 && answer.body.trim_ascii() == b"ok" => {
            Finding::ok(TOPIC, format!("{address} (HTTP) is a server's, which runs"))
        }
        Some(_) | None => Finding::warn(
            TOPIC,
            format!("another program has {address}, where the page and metrics would be"),
            "ddes serve --http ADDR:PORT, or --http off",
        ),
    }
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
