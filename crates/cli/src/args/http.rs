//! The flags of the page and the metrics.

use std::net::SocketAddr;

use clap::Args;

use super::address;

/// Where the page is, if nothing else is said.
pub(crate) const HTTP_DEFAULT: HttpPlace =
    HttpPlace::At(SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5580));

/// Where to serve HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpPlace {
    At(SocketAddr),
    Off,
}

#[derive(Args, Debug)]
pub(crate) struct HttpArgs {
    /// Address and port of the page, its API and the metrics, or `off` [default: 127.0.0.1:5580, or
    /// off where that is taken]
    #[arg(long, value_name = "ADDR:PORT|off", value_parser = place, env = "DDES_HTTP")]
    pub(crate) http: Option<HttpPlace>,
    /// Serve plain HTTP to other machines too: behind a proxy that speaks TLS, or in a network that
    /// you trust
    #[arg(long)]
    pub(crate) http_plain: bool,
    /// A name under which a browser may reach the page; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) http_host: Vec<String>,
}

fn place(text: &str) -> Result<HttpPlace, String> {
    if text == "off" {
        return Ok(HttpPlace::Off);
    }
    address::listen(text).map(HttpPlace::At).map_err(|error| {
        format!("{error}; or `off`").replace("5566", "5580").replace("DDES_LISTEN", "DDES_HTTP")
    })
}
