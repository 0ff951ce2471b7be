//! The flags of the page and the metrics.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args};

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

#[derive(Args, Clone, Debug)]
pub(crate) struct HttpArgs {
    /// Address and port of the page, its API and the metrics, or `off` [default: 127.0.0.1:5580;
    /// off where that is taken]
    #[arg(long, value_name = "ADDR:PORT|off", value_parser = place, env = "DDES_HTTP")]
    pub(crate) http: Option<HttpPlace>,
    /// Serve plain HTTP to other machines too: behind a proxy that speaks TLS, or in a network that
    /// you trust
    #[arg(long, env = "DDES_HTTP_PLAIN", action = ArgAction::Set,
          value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", hide_possible_values = true, hide_default_value = true)]
    pub(crate) http_plain: bool,
    /// A name under which a browser may reach the page; may be repeated [default: none]
    #[arg(long, value_name = "NAME", env = "DDES_HTTP_HOST", value_delimiter = ',')]
    pub(crate) http_host: Vec<String>,
    /// File of a second token, which lets read and not act, for Prometheus and dashboards; made if
    /// it does not exist [default: none]
    #[arg(long, value_name = "FILE", env = "DDES_HTTP_READ_TOKEN")]
    pub(crate) http_read_token: Option<PathBuf>,
}

pub(super) fn place(text: &str) -> Result<HttpPlace, String> {
    if text == "off" {
        return Ok(HttpPlace::Off);
    }
    address::listen(text).map(HttpPlace::At).map_err(|error| {
        format!("{error}; or `off`").replace("5566", "5580").replace("DDES_LISTEN", "DDES_HTTP")
    })
}
