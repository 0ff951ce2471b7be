//! The configuration, the level of the log, and stopping the server.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Given};
use crate::app::App;
use crate::error::ApiError;
use crate::operations::{Configuration, LogLevel, Reloaded};

/// `GET /api/v1/config`
pub(crate) async fn config(State(app): State<Arc<App>>) -> Result<Answer<Configuration>, ApiError> {
    Ok(Answer::now(app.configure(|operations| operations.config()).await?))
}

/// `POST /api/v1/config/reload`
pub(crate) async fn reload(State(app): State<Arc<App>>) -> Result<Answer<Reloaded>, ApiError> {
    let reloaded = app.configure(|operations| operations.reload()).await?;
    Ok(Answer::now(reloaded.map_err(ApiError::unprocessable)?))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Level {
    level: LogLevel,
}

/// `PUT /api/v1/log`
pub(crate) async fn set_log_level(
    State(app): State<Arc<App>>,
    Given(Level { level }): Given<Level>,
) -> Result<Answer<Level>, ApiError> {
    let set = app.configure(move |operations| operations.set_log_level(level)).await?;
    set.map_err(ApiError::unprocessable)?;
    Ok(Answer::now(Level { level }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stop {
    confirm: String,
}

#[derive(Serialize)]
pub(crate) struct Stopping {
    stopping: bool,
}

/// `POST /api/v1/stop`
pub(crate) async fn stop(
    State(app): State<Arc<App>>,
    Given(Stop { confirm }): Given<Stop>,
) -> Result<(StatusCode, Answer<Stopping>), ApiError> {
    if confirm != "stop" {
        return Err(ApiError::bad_request("to stop the server, send {\"confirm\":\"stop\"}"));
    }
    let operations = Arc::clone(&app.operations);
    app.aside.run(move || operations.stop()).await?;
    Ok((StatusCode::ACCEPTED, Answer::now(Stopping { stopping: true })))
}
