//! Every path and its handler. docs/openapi.json describes them; a test compares both.

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};

use crate::api::{accounts, config, export, ledger, overview, security, sessions, wire};
use crate::app::App;
use crate::error::ApiError;
use crate::{access, events, health, metrics, page};

/// The API's description.
pub(crate) const OPENAPI: &str = include_str!("../../../docs/openapi.json");

/// The methods of one path.
type Route = (&'static str, MethodRouter<Arc<App>>);

fn routes() -> Vec<Route> {
    vec![
        ("/api/v1/overview", get(overview::overview)),
        ("/api/v1/sessions", get(sessions::list)),
        ("/api/v1/sessions/end-all", post(sessions::end_all)),
        ("/api/v1/sessions/{id}", get(sessions::one)),
        ("/api/v1/sessions/{id}/end", post(sessions::end)),
        ("/api/v1/wire", get(wire::list)),
        ("/api/v1/wire/{id}", get(wire::one)),
        ("/api/v1/wire/{id}/pin", post(wire::pin).merge(delete(wire::unpin))),
        ("/api/v1/accounts", get(accounts::list)),
        ("/api/v1/accounts/export", get(export::export)),
        ("/api/v1/accounts/{id}", get(accounts::one)),
        ("/api/v1/totals", get(overview::totals)),
        ("/api/v1/ledger", get(ledger::ledger)),
        ("/api/v1/ledger/verify", post(ledger::start)),
        ("/api/v1/ledger/receipt", post(ledger::receipt)),
        ("/api/v1/jobs/{id}", get(ledger::job)),
        ("/api/v1/security", get(security::security)),
        ("/api/v1/config", get(config::config)),
        ("/api/v1/config/reload", post(config::reload)),
        ("/api/v1/log", put(config::set_log_level)),
        ("/api/v1/stop", post(config::stop)),
        ("/api/v1/events", get(events::stream)),
        ("/api/v1/openapi.json", get(openapi)),
        ("/metrics", get(metrics::metrics)),
        ("/livez", get(health::live)),
        ("/readyz", get(health::ready)),
        ("/login", get(page::login)),
    ]
}

/// Everything that the server answers.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for (path, methods) in routes() {
        router = router.route(path, methods.fallback(wrong_method));
    }
    router
        .fallback_service(get(page::file).fallback(wrong_method).with_state(()))
        .layer(from_fn_with_state(Arc::clone(&app), access::guard))
        .with_state(app)
}

async fn wrong_method() -> ApiError {
    ApiError::method_not_allowed()
}

/// `GET /api/v1/openapi.json`
async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_path_is_documented_but_the_login() {
        let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let documented: BTreeSet<_> =
            document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        let served = routes().into_iter().map(|(path, _)| path);
        let served: BTreeSet<_> = served.filter(|path| *path != "/login").collect();
        assert_eq!(documented, served);
    }
}
