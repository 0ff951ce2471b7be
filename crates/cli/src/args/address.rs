//! Addresses as people write them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ddes_identity::{AddressError, ServerAddress};

/// `--server`.
pub(crate) fn server(text: &str) -> Result<ServerAddress, String> {
    if text.is_empty() {
        return Err("it is empty: give HOST:PORT, or unset DDES_SERVER where that is empty".into());
    }
    text.parse().map_err(|error: AddressError| error.to_string())
}

/// `--http`: where the HTTP port is, if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Http {
    At(SocketAddr),
    Off,
}

pub(super) fn listen_or_off(text: &str) -> Result<Http, String> {
    if text == "off" { Ok(Http::Off) } else { listen(text).map(Http::At) }
}

/// `--listen`: an address and port; `localhost:PORT` or `PORT`, which only this machine reaches; or
/// `:PORT`, which others reach too.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    if text.is_empty() {
        return Err(
            "it is empty: give ADDR:PORT, or unset its DDES_ variable where that is empty".into()
        );
    }
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
    let host = match host {
        "" | "*" => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        host if host.eq_ignore_ascii_case("localhost") => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        host => host.trim_start_matches('[').trim_end_matches(']').parse().ok(),
    };
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port: Option<u16> = port.parse().ok().filter(|_| is_number);
    match (host, port) {
        (Some(host), Some(port)) => Ok(SocketAddr::new(host, port)),
        (None, _) | (_, None) => {
            Err("it is an address of this machine and a port, for example 127.0.0.1:5566, \
             [::1]:5566, localhost:5566, :5566 (all addresses) or 5566 (this machine alone)"
                .into())
        }
    }
}
