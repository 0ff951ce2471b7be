//! The configuration, the level of the log, and stopping the server.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::answer::{ActionBody, Answer};
use crate::app::App;
use crate::error::ApiError;
use crate::operations::{ConfigurationView, LogLevel, Reloaded};

/// `GET /api/v1/config`
pub(crate) async fn config(
    State(app): State<Arc<App>>,
) -> Result<Answer<ConfigurationView>, ApiError> {
    Ok(Answer::now(app.configure(|operations| operations.config()).await?))
}

/// `POST /api/v1/config/reload`
pub(crate) async fn reload(State(app): State<Arc<App>>) -> Result<Answer<Reloaded>, ApiError> {
    let reloaded = app.configure(|operations| operations.reload()).await?;
    Ok(Answer::now(reloaded.map_err(ApiError::unprocessable)?))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LevelBody {
    level: LogLevel,
}

/// `PUT /api/v1/log`
pub(crate) async fn set_log_level(
    State(app): State<Arc<App>>,
    ActionBody(LevelBody { level }): ActionBody<LevelBody>,
) -> Result<Answer<LevelBody>, ApiError> {
    let set = app.configure(move |operations| operations.set_log_level(level)).await?;
    set.map_err(ApiError::unprocessable)?;
    Ok(Answer::now(LevelBody { level }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StopBody {
    confirm: String,
}

#[derive(Serialize)]
pub(crate) struct StoppingJson {
    stopping: bool,
}

/// `POST /api/v1/stop`
pub(crate) async fn stop(
    State(app): State<Arc<App>>,
    ActionBody(StopBody { confirm }): ActionBody<StopBody>,
) -> Result<(StatusCode, Answer<StoppingJson>), ApiError> {
    if confirm != "stop" {
        return Err(ApiError::bad_request("to stop the server, send {\"confirm\":\"stop\"}"));
    }
    let operations = Arc::clone(&app.operations);
    app.aside.run(move || operations.stop()).await?;
    Ok((StatusCode::ACCEPTED, Answer::now(StoppingJson { stopping: true })))
}
