//! Who may ask for what: every request passes [`guard`] before its handler.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CONTENT_LENGTH, COOKIE, FORWARDED, HOST, HeaderMap, HeaderName, ORIGIN,
};
use axum::http::uri::Authority;
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::error::ApiError;
use crate::listen::Peer;
use crate::login::{BrowserRight, Logins};
use crate::token::AccessToken;
use crate::{headers, page};

/// Bytes of a request's body.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a client may take to send a request's body.
const BODY_SECS_MAX: Duration = Duration::from_secs(10);
/// A header that a form of another site cannot send. A browser's actions have the second secret of
/// its session in it, those of a program with the token a 1.
const ACTION: HeaderName = HeaderName::from_static("x-ddes-action");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What a proxy adds: the client behind it may be anywhere.
const OF_PROXIES: [HeaderName; 3] = [
    FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
];

/// The access rules of one server.
#[derive(Debug)]
pub(crate) struct AccessRules {
    /// The address that it is bound to.
    pub(crate) address: SocketAddr,
    /// Names under which it answers, beside its addresses.
    pub(crate) hosts: Vec<String>,
    pub(crate) token: AccessToken,
    /// What lets in to read, and never to act.
    pub(crate) read_token: Option<AccessToken>,
    pub(crate) logins: Logins,
}

/// Whether the request carries the token, or both secrets of an open session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CanAct(pub(crate) bool);

/// Whether the request may read what only those who are known may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CanRead(pub(crate) bool);

/// Lets a request through to its handler, or refuses it. Every answer gets the headers that keep a
/// browser from misusing it.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = match admit(&app.access, request).await {
        Ok(request) => next.run(request).await,
        Err(AccessRefused::Api(error)) => error.into_response(),
        Err(AccessRefused::Page) => page::login_needed(),
    };
    headers::protect(&path, &mut response);
    response
}

enum AccessRefused {
    Api(ApiError),
    /// A person opened the page without a session.
    Page,
}

impl From<ApiError> for AccessRefused {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

async fn admit(access: &AccessRules, mut request: Request) -> Result<Request, AccessRefused> {
    let peer = request.extensions().get::<Peer>().cloned();
    let local = peer.as_ref().map_or(access.address, |peer| peer.local);
    let host = host(request.uri(), request.headers())?;
    if !access.answers_for(&host, local) {
        return Err(ApiError::misdirected(host.as_str()).into());
    }
    let right = access.right(request.headers());
    let can_act = CanAct(right == BrowserRight::Act);
    request.extensions_mut().insert(can_act);
    let path = request.uri().path();
    // Probes have no token. To strangers they say yes or no, and no more.
    let is_open = ["/livez", "/readyz", "/login"].contains(&path);
    let is_local = access.address.ip().is_loopback()
        && is_loopback_name(host.host())
        && !OF_PROXIES.iter().any(|name| request.headers().contains_key(name));
    let can_read = CanRead(is_local || right != BrowserRight::Nothing);
    if !is_open && !can_read.0 {
        let wants_page = request.method() == Method::GET && path == "/";
        return Err(if wants_page { AccessRefused::Page } else { ApiError::unauthorized().into() });
    }
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    if !reads {
        match right {
            BrowserRight::Nothing => return Err(ApiError::unauthorized().into()),
            BrowserRight::Read if request.headers().contains_key(AUTHORIZATION) => {
                return Err(ApiError::read_only().into());
            }
            BrowserRight::Read => return Err(ApiError::unproven().into()),
            BrowserRight::Act => refuse_forged(request.headers())?,
        }
    }
    if !reads || path.starts_with("/api/") || path == "/metrics" {
        refuse_cross_site(request.headers(), &host)?;
    }
    request.extensions_mut().insert(can_read);
    let request = if reads { without_body(request)? } else { with_body(request).await? };
    if let Some(peer) = peer {
        peer.begin(can_act.0);
    }
    Ok(request)
}

/// The host that a request is for.
fn host(uri: &Uri, headers: &HeaderMap) -> Result<Authority, ApiError> {
    let mut named = headers.get_all(HOST).iter();
    let host = match (uri.authority(), named.next(), named.next()) {
        (None, Some(host), None) => {
            host.to_str().ok().and_then(|host| host.parse::<Authority>().ok())
        }
        (Some(host), None, None) => Some(host.clone()),
        (Some(uri), Some(host), None) => Some(uri.clone()).filter(|uri| uri.as_str() == host),
        (None, None, None) | (_, _, Some(_)) => None,
    };
    host.filter(|host| !host.as_str().contains('@')).ok_or_else(|| ApiError::misdirected("(none)"))
}

fn is_loopback_name(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || literal(host).is_some_and(|address| address.is_loopback())
}

/// The address that a host is written as.
fn literal(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

impl AccessRules {
    /// Whether a request for `host` is meant for this server. A page of another site can make a
    /// browser send its own host's name here (DNS rebinding), and no other.
    fn answers_for(&self, host: &Authority, local: SocketAddr) -> bool {
        let name = host.host();
        let is_ours = literal(name).is_some_and(|address| {
            address.to_canonical() == local.ip().to_canonical() || address == self.address.ip()
        });
        is_loopback_name(name)
            || is_ours
            || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    fn right(&self, headers: &HeaderMap) -> BrowserRight {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
        let token = bearer.and_then(AccessToken::parse);
        let is = |own: &AccessToken| token.as_ref().is_some_and(|token| own.is(token));
        if is(&self.token) {
            return BrowserRight::Act;
        }
        let of_session = self.right_of_session(headers);
        if self.read_token.as_ref().is_some_and(is) {
            return of_session.max(BrowserRight::Read);
        }
        of_session
    }

    fn right_of_session(&self, headers: &HeaderMap) -> BrowserRight {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let own = self.cookie_name();
        let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == own).then_some(value)
        });
        let proof = headers.get(ACTION).and_then(|value| AccessToken::parse(value.to_str().ok()?));
        // One of each browser; a second one is a mistake, of which there may be a few.
        let ids = pairs.take(4).filter_map(AccessToken::parse);
        let rights = ids.map(|id| self.logins.right(Instant::now(), &id, proof.as_ref()));
        rights.max().unwrap_or(BrowserRight::Nothing)
    }

    /// The name of the cookie with the id of a browser session. Cookies are of a host: servers on
    /// two of its ports must not replace each other's.
    pub(crate) fn cookie_name(&self) -> String {
        format!("ddes_session_{}", self.address.port())
    }
}

/// Refuses what a form of another site could send.
fn refuse_forged(headers: &HeaderMap) -> Result<(), ApiError> {
    let is_marked = |value: &str| value == "1" || AccessToken::parse(value).is_some();
    if headers.get(ACTION).is_some_and(|value| value.to_str().is_ok_and(is_marked)) {
        return Ok(());
    }
    Err(ApiError::forbidden("an action needs the header `X-Ddes-Action: 1`"))
}

/// Refuses what a browser sends for a page of another site.
fn refuse_cross_site(headers: &HeaderMap, host: &Authority) -> Result<(), ApiError> {
    let is_same_site =
        headers.get_all(FETCH_SITE).iter().all(|value| value == "same-origin" || value == "none");
    let is_same_origin = headers.get_all(ORIGIN).iter().all(|value| {
        let origin = value.to_str().ok().and_then(|value| value.parse::<Uri>().ok());
        let origin = origin.as_ref().and_then(Uri::authority);
        origin.is_some_and(|origin| origin.as_str().eq_ignore_ascii_case(host.as_str()))
    });
    if is_same_site && is_same_origin {
        return Ok(());
    }
    Err(ApiError::forbidden("a page of another site may not use this API"))
}

/// Refuses a body that no handler would read: nothing waits for it, since anybody may read.
fn without_body(request: Request) -> Result<Request, ApiError> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    Err(ApiError::bad_request("a request that only reads has no body"))
}

/// Reads the body of an action, so that a handler has it whole.
async fn with_body(request: Request) -> Result<Request, ApiError> {
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
        return Err(ApiError::too_large(BODY_BYTES_MAX));
    }
    let (head, body) = request.into_parts();
    let read = tokio::time::timeout(BODY_SECS_MAX, to_bytes(body, BODY_BYTES_MAX)).await;
    let read = read.map_err(|_| ApiError::timeout("the body did not come within 10 s"))?;
    let bytes = read.map_err(|_| ApiError::too_large(BODY_BYTES_MAX))?;
    Ok(Request::from_parts(head, Body::from(bytes)))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn access(address: &str, hosts: &[&str]) -> AccessRules {
        AccessRules {
            address: address.parse().unwrap(),
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            token: AccessToken::random().unwrap(),
            read_token: None,
            logins: Logins::default(),
        }
    }

    #[test]
    fn a_server_answers_for_its_own_names_only() {
        let access = access("0.0.0.0:5580", &["stats.example"]);
        let local = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 5580));
        let answers = |host: &str| access.answers_for(&host.parse::<Authority>().unwrap(), local);
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:5580",
            "[::1]:5580",
            "192.0.2.7",
            "192.0.2.7:5580",
            "stats.example",
            "Stats.Example:443",
        ] {
            assert!(answers(host), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "192.0.2.8", "stats.example.evil", "[::2]"]
        {
            assert!(!answers(host), "{host}");
        }
    }
}
