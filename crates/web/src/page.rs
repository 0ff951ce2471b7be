//! The page: files that are built in, the login, and what is shown without one.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Query, State};
use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, SET_COOKIE};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};
use serde::Deserialize;

use crate::app::App;
use crate::error::ApiError;
use crate::login::SESSION_VALID;
use crate::token::AccessToken;

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
struct PageFiles;

const INDEX: &str = "index.html";
/// Characters of the hash in an asset's name, at least: `app-1a2b3c4d.js`.
const HASH_CHARS_MIN: usize = 8;

/// A file of the page. A path without a dot is a view of the page, which its script shows.
pub(crate) async fn file(uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    let is_api = path == "api" || path.starts_with("api/");
    let path = if path.is_empty() || !is_api && !path.contains('.') { INDEX } else { path };
    match PageFiles::get(path) {
        Some(file) => answer(path, file),
        None => ApiError::not_found(format!("there is nothing at /{path}")).into_response(),
    }
}

/// Whether a path names an asset whose content never changes.
pub(crate) fn is_hashed(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some((stem, _)) = name.rsplit_once('.') else { return false };
    let hash = stem.rsplit(['-', '.']).next().filter(|hash| hash.len() < stem.len());
    // Base 32 or hexadecimal, as bundlers write it; an English word is neither.
    let is_base_32 = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    hash.is_some_and(|hash| {
        hash.len() >= HASH_CHARS_MIN && (hash.bytes().all(is_base_32) || hash.bytes().all(is_hex))
    })
}

fn answer(path: &str, file: EmbeddedFile) -> Response {
    let body = match file.data {
        Cow::Borrowed(bytes) => bytes.into_response(),
        Cow::Owned(bytes) => bytes.into_response(),
    };
    let named = [(CONTENT_TYPE, HeaderValue::from_static(media_type(path)))];
    (named, body).into_response()
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("json" | "map" | "webmanifest") => "application/json",
        Some("txt") => "text/plain; charset=utf-8",
        None | Some(_) => "application/octet-stream",
    }
}

#[derive(Deserialize)]
pub(crate) struct LoginQuery {
    code: Option<String>,
}

/// Opens a session with the code of a link, and shows the page.
pub(crate) async fn login(
    State(app): State<Arc<App>>,
    method: Method,
    headers: HeaderMap,
    query: Result<Query<LoginQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let code = query.ok().and_then(|query| query.0.code).and_then(|code| AccessToken::parse(&code));
    // A program that looks ahead must not use the link up.
    let code = code.filter(|_| method == Method::GET);
    let Some(code) = code else { return login_refused() };
    let session = match app.access.logins.open(Instant::now(), &code) {
        Ok(Some(session)) => session,
        Ok(None) => return login_refused(),
        Err(_) => return ApiError::internal("the system gives no randomness").into_response(),
    };
    let is_https = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let secure = if is_https { "; Secure" } else { "" };
    let cookie = format!(
        "{}={}; HttpOnly; SameSite=Strict; Path=/; Max-Age={}{secure}",
        app.access.cookie_name(),
        *session.id.to_hex(),
        SESSION_VALID.as_secs()
    );
    // What follows # stays in the browser: the page takes it (web/src/proof.ts).
    let location = format!("/#proof={}", *session.proof.to_hex());
    (StatusCode::SEE_OTHER, [(LOCATION, location), (SET_COOKIE, cookie)]).into_response()
}

fn login_refused() -> Response {
    words(
        StatusCode::FORBIDDEN,
        "This login link does not work any more",
        "A link works once, within ten minutes. On the server's machine the command <code>ddes \
         link</code> prints a new one; so does <code>link</code> on its console.",
    )
}

/// For a person who opens the page from elsewhere without a session.
pub(crate) fn login_needed() -> Response {
    words(
        StatusCode::UNAUTHORIZED,
        "This page needs a login",
        "On the server's machine the command <code>ddes link</code> prints a link that opens it; \
         so does <code>link</code> on its console. Programs send <code>Authorization: \
         Bearer</code> with the token of the file <code>http-token</code> in the server's home.",
    )
}

fn words(status: StatusCode, title: &str, text: &str) -> Response {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta \
         name=\"viewport\" content=\"width=device-width\"><title>{title} - ddes</title></head>\n\
         <body><main><h1>{title}</h1><p>{text}</p></main></body>\n</html>\n"
    );
    (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_with_a_hash_is_kept_for_ever() {
        for path in ["/assets/app-1A2B3C4D.js", "/app.0123456789ab.css", "/x-ABCDEFGH.woff2"] {
            assert!(is_hashed(path), "{path}");
        }
        for path in ["/", "/index.html", "/app-1a2b.js", "/app-dashboard.js", "/abcdefghij.js"] {
            assert!(!is_hashed(path), "{path}");
        }
    }
}
