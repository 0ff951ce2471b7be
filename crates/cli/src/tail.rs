//! `ddes tail`: the events of a running server, one a line, as they happen.
//!
//! They are the lines of its log, from the API's stream of server-sent events. One thread reads the
//! stream; this one prints, so that `--duration` ends on time whatever the server does.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::api::{Api, RequestError, made_plain};
use crate::args::TailArgs;
use crate::failure::{Code, Failure};
use crate::screen::{SCHEMA_VERSION, Screen};
use crate::streams;
use crate::unheard::may_be_unheard;

const PATH: &str = "/api/v1/events";
/// A line of the stream. The longest has the keys of a configuration.
const LINE_BYTES_MAX: u64 = 256 * 1024;
/// Events that wait to be printed; the server drops what exceeds its own queue, and says so.
const WAITING_MAX: usize = 1024;
/// Between two tries to reach a server that was lost.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// What the reading thread hears.
enum Heard {
    /// The stream is open: from here on no event is missed.
    Open,
    Event(Map<String, Value>),
    /// The last one: why the stream is over.
    Over(RequestError),
}

pub(crate) fn run(args: &TailArgs) -> Result<(), Failure> {
    let ends = args.duration.map(|secs| Instant::now() + Duration::from_secs(secs.into()));
    let patience = |default| Duration::from_secs(args.timeout.map_or(default, u64::from));
    let mut screen = Screen::of(&args.output);
    let mut tries_until = Instant::now() + patience(0);
    loop {
        // Read again: a server that was started anew may have another token.
        let heard = listen(Api::find(&args.api)?)?;
        let (was_open, error) = match show(args, &mut screen, &heard, ends)? {
            None => return Ok(()),
            Some(over) => over,
        };
        let failure = Api::find(&args.api)?.failure(&error);
        if was_open {
            tries_until = Instant::now() + patience(60);
            if !args.output.quiet {
                streams::say(&format!("{error}; it is tried again."));
            }
        } else if !is_passing(&error) || Instant::now() >= tries_until {
            return Err(failure);
        }
        let pause = ends.map_or(TRY_EVERY, |ends| TRY_EVERY.min(left(ends)));
        thread::sleep(pause);
        if ends.is_some_and(|ends| left(ends).is_zero()) {
            return Ok(());
        }
    }
}

/// Whether the same may succeed a moment later.
fn is_passing(error: &RequestError) -> bool {
    match error {
        RequestError::Unreachable(_) | RequestError::Late => true,
        RequestError::Refused { status, .. } => *status == 503,
        RequestError::Foreign(_) => false,
    }
}

/// Prints what comes. `None` at the end of `--duration`, else whether the stream was open, and why
/// it is over.
fn show(
    args: &TailArgs,
    screen: &mut Screen,
    heard: &Receiver<Heard>,
    ends: Option<Instant>,
) -> Result<Option<(bool, RequestError)>, Failure> {
    let mut was_open = false;
    loop {
        let next = match ends {
            None => heard.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(ends) => heard.recv_timeout(left(ends)),
        };
        let fields = match next {
            Err(RecvTimeoutError::Timeout) => return Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::new(Code::No, "the thread that read the events failed"));
            }
            Ok(Heard::Over(error)) => return Ok(Some((was_open, error))),
            Ok(Heard::Event(fields)) => fields,
            Ok(Heard::Open) => {
                was_open = true;
                following(args)
            }
        };
        let name = fields.get("event").and_then(Value::as_str);
        let is_wanted = args.event.is_empty() || args.event.iter().any(|one| Some(&**one) == name);
        if is_wanted || name == Some(FOLLOWING) {
            let text = if screen.is_json() { object(fields) } else { line(fields) };
            screen.print(&text).map_err(|error| Failure::output(&error))?;
        }
    }
}

fn left(ends: Instant) -> Duration {
    ends.saturating_duration_since(Instant::now())
}

const FOLLOWING: &str = "following";

/// The first line of each stream, for scripts that wait for it.
fn following(args: &TailArgs) -> Map<String, Value> {
    let at = crate::screen::time(std::time::SystemTime::now());
    let fields = [
        ("at", json!(format!("{at:.3}"))),
        ("event", FOLLOWING.into()),
        ("http", args.api.http.to_string().into()),
    ];
    fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

/// As the server's log has it.
fn object(mut fields: Map<String, Value>) -> String {
    let mut all = Map::new();
    all.insert("schema_version".into(), SCHEMA_VERSION.into());
    all.insert("time".into(), fields.remove("at").unwrap_or(Value::Null));
    all.extend(fields);
    Value::Object(all).to_string()
}

/// Time, event, and each field that says something.
fn line(mut fields: Map<String, Value>) -> String {
    let mut take = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => text,
        Some(_) | None => String::new(),
    };
    let (at, event) = (take("at"), take("event"));
    drop(take("level"));
    let mut text = format!("{at}  {event:14}");
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let value = match value {
            Value::String(plain) if !plain.is_empty() && !plain.contains([' ', '"', '=']) => {
                plain.clone()
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => value.to_string(),
        };
        text.push_str(&format!("  {name}={value}"));
    }
    text.trim_end().to_owned()
}

/// Reads the stream on a thread of its own, until it is over.
fn listen(api: Api) -> Result<Receiver<Heard>, Failure> {
    let (sender, heard) = sync_channel(WAITING_MAX);
    let read = move || {
        let error = follow(&api, &sender);
        // Whoever listened may have ended.
        may_be_unheard(sender.send(Heard::Over(error)));
    };
    thread::Builder::new()
        .name("events".into())
        .spawn(read)
        .map_err(|error| Failure::system("cannot start a thread", &error))?;
    Ok(heard)
}

fn follow(api: &Api, sender: &SyncSender<Heard>) -> RequestError {
    let stream = match api.follow(PATH) {
        Ok(stream) => stream,
        Err(error) => return error,
    };
    if sender.send(Heard::Open).is_err() {
        return over();
    }
    let mut stream = BufReader::new(stream);
    loop {
        match next_line(&mut stream) {
            Ok(None) => return over(),
            Ok(Some(line)) => match event(&line) {
                Ok(None) => {}
                Ok(Some(fields)) => {
                    if sender.send(Heard::Event(fields)).is_err() {
                        return over();
                    }
                }
                Err(error) => return error,
            },
            Err(error) => return error,
        }
    }
}

fn over() -> RequestError {
    RequestError::Unreachable("the server ended the stream of events".into())
}

fn next_line(stream: &mut impl BufRead) -> Result<Option<Vec<u8>>, RequestError> {
    let mut line = Vec::new();
    let read = stream.take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
    // A cut connection, or silence: the server says `ping` every 15 s.
    read.map_err(|error| RequestError::Unreachable(crate::api::plain(&error.to_string())))?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) if line.len() as u64 >= LINE_BYTES_MAX => {
            Err(RequestError::Foreign(format!("a line has more than {LINE_BYTES_MAX} bytes")))
        }
        // It was cut off, and so says nothing.
        Some(_) => Ok(None),
    }
}

/// The fields of a line `data: {…}`; `None` for the others, which name and number the event.
fn event(line: &[u8]) -> Result<Option<Map<String, Value>>, RequestError> {
    let Some(data) = line.strip_prefix(b"data:") else { return Ok(None) };
    match serde_json::from_slice(data).map(made_plain) {
        Ok(Value::Object(fields)) => Ok(Some(fields)),
        Ok(_) | Err(_) => Err(RequestError::Foreign("an event is no JSON object".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_for_people_and_an_object_for_programs() {
        let data = br#"data: {"at":"2027-01-01T00:00:00.000Z","event":"ended","level":"info","session":"3","cause":"idle","rule":null,"fault":"a b"}"#;
        let fields = event(data).unwrap().unwrap();
        assert_eq!(
            line(fields.clone()),
            "2027-01-01T00:00:00.000Z  ended           cause=idle  fault=\"a b\"  session=3"
        );
        let object: Value = serde_json::from_str(&object(fields)).unwrap();
        assert_eq!((&object["schema_version"], &object["session"]), (&2.into(), &"3".into()));
        assert!(object["time"] == "2027-01-01T00:00:00.000Z" && object.get("at").is_none());
        for other in [&b"event: ended\n"[..], b"id: 7\n", b": ping\n", b"\n"] {
            assert!(event(other).unwrap().is_none());
        }
        assert!(event(b"data: 7\n").is_err() && event(b"data: {\n").is_err());
    }

    #[test]
    fn a_line_that_is_cut_off_or_too_long_says_nothing() {
        let mut stream = &b"data: {}\ndata: {"[..];
        assert_eq!(next_line(&mut stream).unwrap().unwrap(), b"data: {}\n");
        assert!(next_line(&mut stream).unwrap().is_none());
        let long = vec![b'x'; 2 * 256 * 1024];
        assert!(matches!(next_line(&mut &long[..]), Err(RequestError::Foreign(_))));
    }
}
