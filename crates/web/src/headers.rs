//! The headers that keep a browser from misusing an answer.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::response::Response;

use crate::page;

/// Nothing from elsewhere, nothing inline, and no page around this one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' \
                      data:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action \
                      'self'; frame-ancestors 'none'";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// A year: the name of an asset changes with its content.
const FOREVER: &str = "public, max-age=31536000, immutable";

/// Adds them to the answer for `path`.
pub(crate) fn protect(path: &str, response: &mut Response) {
    let is_immutable = response.status().is_success() && page::is_hashed(path);
    let cache = if is_immutable { FOREVER } else { "no-store" };
    let all = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (RESOURCE_POLICY, "same-origin"),
        (CACHE_CONTROL, cache),
    ];
    for (name, value) in all {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}
