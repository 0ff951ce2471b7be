//! Errors of the API: a status, a stable code for programs, and a message for people.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::SCHEMA_VERSION;

/// An answer that refuses a request. Its message says what happened, and what to do.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

#[derive(Serialize)]
struct ErrorAnswer<'a> {
    schema_version: u32,
    error: ErrorText<'a>,
}

#[derive(Serialize)]
struct ErrorText<'a> {
    code: &'a str,
    message: &'a str,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(crate) fn unauthorized() -> Self {
        let message = "this request needs the token or a session: send `Authorization: Bearer \
                       TOKEN` with the token of the file http-token in the server's home, or open \
                       a login link (`ddes link` on the server's machine prints one)";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// A cookie came without the second secret of its session.
    pub(crate) fn unproven() -> Self {
        Self::forbidden(
            "this page may look, not act: only the one that a login link opened has the session's \
             second secret, which an action sends in `X-Ddes-Action`. Open another link (`link` on \
             the server's console prints one)",
        )
    }

    /// The token that came is the one that only reads.
    pub(crate) fn read_only() -> Self {
        Self::forbidden(
            "this token may read, not act: an action needs the token of the file http-token in \
             the server's home",
        )
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "this path does not take that method: see /api/v1/openapi.json";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    pub(crate) fn misdirected(host: &str) -> Self {
        let message = format!(
            "this server does not answer for the host '{host}': use its address, or start it with \
             `ddes serve --http-host NAME`"
        );
        Self::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", message)
    }

    pub(crate) fn timeout(message: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", message)
    }

    pub(crate) fn too_large(bytes_max: usize) -> Self {
        let message = format!("the body has more than {bytes_max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
    }

    /// The loop does not answer: it has ended, or it is overloaded.
    pub(crate) fn no_answer() -> Self {
        Self::unavailable("the server is stopping or overloaded: try again in a moment")
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = ErrorText { code: self.code, message: &self.message };
        let answer = ErrorAnswer { schema_version: SCHEMA_VERSION, error };
        let mut response = (self.status, Json(answer)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
