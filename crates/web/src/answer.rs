//! The envelope of the API's answers, their times, and what a request may ask for.

use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::SCHEMA_VERSION;
use crate::error::ApiError;

/// How long the loop may take to answer a question.
pub(crate) const LOOP_SECS_MAX: Duration = Duration::from_secs(5);
/// Rows of one answer.
const LIMIT_MAX: usize = 500;
const LIMIT_DEFAULT: usize = 100;
/// Bytes of a search.
const SEARCH_BYTES_MAX: usize = 256;

/// An answer with its version and the time as of which it holds.
#[derive(Serialize)]
pub(crate) struct Answer<T> {
    schema_version: u32,
    as_of: String,
    #[serde(flatten)]
    content: T,
}

impl<T> Answer<T> {
    pub(crate) fn now(content: T) -> Self {
        Self::at(SystemTime::now(), content)
    }

    pub(crate) fn at(time: SystemTime, content: T) -> Self {
        Self { schema_version: SCHEMA_VERSION, as_of: shown_time(time), content }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// RFC 3339 in UTC, with milliseconds. A clock beyond the years that can be written shows the last,
/// or the first, of them.
pub(crate) fn shown_time(time: SystemTime) -> String {
    let is_before = time < SystemTime::UNIX_EPOCH;
    let end = if is_before { Timestamp::MIN } else { Timestamp::MAX };
    let time = Timestamp::try_from(time).unwrap_or(end);
    format!("{time:.3}")
}

/// As [`shown_time`], of seconds since 1970.
pub(crate) fn shown_secs(secs: u32) -> String {
    shown_time(SystemTime::UNIX_EPOCH + Duration::from_secs(secs.into()))
}

/// The parameters of a request. An unknown parameter or a wrong value is an error.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Self(query.0)).map_err(|error| {
            let why = match error {
                QueryRejection::FailedToDeserializeQueryString(error) => error.body_text(),
                error => error.body_text(),
            };
            ApiError::bad_request(why)
        })
    }
}

/// The body of an action: an object. JSON's other values are refused, also those that Serde takes
/// for a structure.
pub(crate) struct ActionBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ActionBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let wrong = |why: String| {
            ApiError::bad_request(format!("{why}: see /api/v1/openapi.json for the body"))
        };
        let body = Json::<Map<String, Value>>::from_request(request, state).await;
        let Json(object) = body.map_err(|error| wrong(error.body_text()))?;
        let given = serde_json::from_value(Value::Object(object));
        given.map(Self).map_err(|error| wrong(error.to_string()))
    }
}

/// The direction of a sorted list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SortOrder {
    #[default]
    Asc,
    Desc,
}

/// The part of a list that a request asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListPart {
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}

impl ListPart {
    pub(crate) fn parse(limit: Option<usize>, offset: Option<usize>) -> Result<Self, ApiError> {
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        if limit > LIMIT_MAX {
            return Err(ApiError::bad_request(format!("limit is at most {LIMIT_MAX}")));
        }
        Ok(Self { offset: offset.map_or(0, |offset| offset), limit })
    }

    /// The rows of this part.
    pub(crate) fn of<T>(self, rows: &[T]) -> &[T] {
        // Beyond the end there are none.
        let (_, rest) = rows.split_at(self.offset.min(rows.len()));
        rest.get(..self.limit).unwrap_or(rest)
    }
}

/// A search, in lower case; `None` if it is empty.
pub(crate) fn search(text: Option<String>) -> Result<Option<String>, ApiError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.len() > SEARCH_BYTES_MAX {
        return Err(ApiError::bad_request(format!("q has at most {SEARCH_BYTES_MAX} bytes")));
    }
    // What the decoder puts where the bytes are not UTF-8.
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return Err(ApiError::bad_request("q is not UTF-8"));
    }
    Ok(Some(text.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_with_its_list() {
        let part = |limit, offset| ListPart::parse(limit, offset).unwrap();
        assert_eq!(part(Some(2), Some(1)).of(&[1, 2, 3, 4]), [2, 3]);
        assert_eq!(part(None, Some(3)).of(&[1, 2, 3, 4]), [4]);
        assert_eq!(part(Some(0), None).of(&[1]), [0; 0]);
        assert_eq!(part(Some(500), Some(usize::MAX)).of(&[1]), [0; 0]);
        assert!(ListPart::parse(Some(501), None).is_err());
    }

    #[test]
    fn a_time_has_milliseconds_and_no_clock_is_beyond_it() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_120);
        assert_eq!(shown_time(time), "2023-11-14T22:13:20.120Z");
        assert_eq!(shown_time(SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
        let year = Duration::from_secs(366 * 24 * 60 * 60);
        assert!(shown_time(SystemTime::UNIX_EPOCH + year * 20_000).starts_with("9999-"));
    }
}
