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

/// `--http` of a command that asks a server: also what `serve --http` takes, so that `DDES_HTTP`
/// may name both.
pub(super) fn http(text: &str) -> Result<ServerAddress, String> {
    const EXAMPLES: &str = "give http://HOST:PORT, HOST:PORT or PORT, for example 127.0.0.1:5580";
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("https://") {
        return Err(
            "this command has no TLS. Run it on the server's machine, or through a tunnel: \
                    ssh -L 5580:127.0.0.1:5580 HOST, and --http 127.0.0.1:5580"
                .into(),
        );
    }
    if lower == "off" {
        return Err(format!("the page is switched off (DDES_HTTP=off): {EXAMPLES}"));
    }
    let place = text.get("http://".len()..).filter(|_| lower.starts_with("http://"));
    let place = place.unwrap_or(text).trim_end_matches('/');
    let is_port = !place.is_empty() && place.bytes().all(|byte| byte.is_ascii_digit());
    let place = match place.rsplit_once(':') {
        None if is_port => format!("127.0.0.1:{place}"),
        // All addresses of this machine; it is asked at one of them.
        Some(("" | "*" | "0.0.0.0", port)) => format!("127.0.0.1:{port}"),
        Some(("[::]", port)) => format!("[::1]:{port}"),
        Some(_) | None => place.to_owned(),
    };
    if place.contains(['/', '@', '?', '#']) {
        return Err(format!("it is more than a host and a port: {EXAMPLES}"));
    }
    place.parse().map_err(|_: AddressError| EXAMPLES.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_named_by_url_address_or_port_and_https_is_refused_with_a_way_out() {
        for (text, means) in [
            ("http://127.0.0.1:5580", "127.0.0.1:5580"),
            ("HTTP://[::1]:80/", "[::1]:80"),
            ("counter.example:81", "counter.example:81"),
            ("5580", "127.0.0.1:5580"),
            (":5580", "127.0.0.1:5580"),
            ("0.0.0.0:5580", "127.0.0.1:5580"),
            ("[::]:5580", "[::1]:5580"),
        ] {
            assert_eq!(http(text).map(|address| address.to_string()), Ok(means.into()), "{text}");
        }
        assert!(http("https://a:1").unwrap_err().contains("ssh -L"));
        assert!(http("off").unwrap_err().contains("switched off"));
        for unfit in ["", "http://", "a", "http://u:p@a:1", "http://a:1/api", "a:0", "ftp://a:1"] {
            assert!(http(unfit).is_err(), "{unfit}");
        }
    }
}
