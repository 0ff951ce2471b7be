//! A session on the original's wire: one integer at a time, and the sum ends with the session.

use std::time::Duration;

use ddes_client::classic::{ClassicConnection, ClassicOptions, CountError};
use ddes_client::outbox::InputMark;
use ddes_session::classic::{ClientEnd, ClientEvent, SubmitError};
use ddes_wire::classic::text;
use ddes_wire::shown::hex;
use ddes_wire::v2::Scope;
use ddes_wire::{ClientId, Token, Total};

use super::{
    Counter, CounterEnd, CounterReport, NotTaken, Queue, ended_by_server, last_sum, session_ended,
};
use crate::args::ClientArgs;
use crate::capture::recorder::CaptureRecorder;
use crate::failure::{Code, Failure};
use crate::interrupt::Interrupt;
use crate::screen::{self, Line, number};

const CONNECT_MAX: Duration = Duration::from_secs(10);
const REPLY_MAX: Duration = Duration::from_secs(10);
/// The original computes fresh parameters for each connection: 1 s to 60 s of work.
const HANDSHAKE_MAX: Duration = Duration::from_secs(120);

pub(crate) struct ClassicSession {
    options: ClassicOptions,
    connection: ClassicConnection,
    /// Full until the handshake is done, while an integer waits for its sum, and at the end.
    queue: Queue,
    counted: u64,
    /// A sum that answers no integer: the session's end follows it.
    last_sum: Option<Total>,
}

impl ClassicSession {
    /// Connects; [`Counter::next`] carries the handshake through.
    pub(crate) async fn open(
        options: ClassicOptions,
        interrupt: &mut Interrupt,
    ) -> Result<Self, Failure> {
        let connection = tokio::select! {
            connection = ClassicConnection::open(&options) => connection?,
            failure = interrupt.came() => return Err(failure),
        };
        Ok(Self { options, connection, queue: Queue::Full, counted: 0, last_sum: None })
    }

    /// What a person reads before the handshake.
    pub(crate) fn greeting(&self) -> Vec<CounterReport> {
        let ClassicOptions { server, id, .. } = &self.options;
        let connected = format!("[CONNECTED] Connected to server at {server}");
        let client_id = format!("[CLIENT ID] UUID: {id}, Integer: {}", id.as_integer());
        let waiting = "Waiting for the server's public key (the original takes 1 s to 60 s)";
        vec![
            CounterReport::Step(
                Line::new("connected", connected).with("server", server.to_string()),
            ),
            CounterReport::Step(
                Line::new("client_id", client_id)
                    .with("uuid", id.to_string())
                    .with("integer", number(&id.as_integer())),
            ),
            CounterReport::Step(Line::new("waiting", format!("[STATUS] {waiting}"))),
        ]
    }

    /// Asks for the end and waits for it. Everything is counted, so how it ends does not matter.
    pub(crate) async fn close(self) {
        drop(self.connection.close().await);
    }

    fn ended(&mut self, end: ClientEnd) -> CounterReport {
        self.queue = Queue::Full;
        let outcome = match &end {
            ClientEnd::Disconnected { asked: true, .. } => Ok(session_ended()),
            ClientEnd::Disconnected { asked: false, text: said } if is_orderly(said) => {
                Ok(ended_by_server(said))
            }
            ClientEnd::Disconnected { .. } | ClientEnd::Idle | ClientEnd::Fault(_) => {
                Err(Failure::from(end.clone()))
            }
        };
        let last_sum = self.last_sum.take().map(last_sum);
        CounterReport::Ended { end: CounterEnd { last_sum, outcome }, failure: end.into() }
    }
}

impl Counter for ClassicSession {
    type Integer = u64;

    const HAS_OPERATORS: bool = false;

    async fn next(&mut self) -> Result<CounterReport, Failure> {
        loop {
            let Some(event) = self.connection.next().await else {
                return Err(Failure::new(Code::Connect, "the session is over"));
            };
            return Ok(match event {
                ClientEvent::LastSum { sum } => {
                    self.last_sum = Some(sum);
                    continue;
                }
                ClientEvent::KeyReceived { bits } => CounterReport::Step(key_received(bits)),
                ClientEvent::KeySent => {
                    let text = "[STATUS][10] Sent our public key; Key1 and Key2 derived";
                    CounterReport::Step(Line::new("key_sent", text))
                }
                ClientEvent::Ready { token } => {
                    self.queue = Queue::Empty;
                    CounterReport::Opened { line: ready(&token), sum: None }
                }
                ClientEvent::Acknowledged => {
                    let text = format!("[STATUS][30] {}", text::RECEIVED);
                    CounterReport::Step(Line::new("acknowledged", text))
                }
                ClientEvent::Result { sum } => {
                    self.queue = Queue::Empty;
                    self.counted += 1;
                    CounterReport::Summed { sum, count: None }
                }
                ClientEvent::Discarded { text } => {
                    self.queue = Queue::Empty;
                    discarded(text)
                }
                ClientEvent::Ended(end) => self.ended(end),
            });
        }
    }

    fn give(&mut self, values: &[u64], _: InputMark) -> Result<(), NotTaken> {
        for value in values {
            self.connection.submit(*value).map_err(|error| {
                let failure = Failure::new(Code::No, error.to_string());
                NotTaken { failure, may_retry: false }
            })?;
            self.queue = Queue::Full;
        }
        Ok(())
    }

    fn queue(&self) -> Queue {
        self.queue
    }

    fn counted(&self) -> u64 {
        self.counted
    }

    async fn leave(mut self, _: Scope) -> Result<CounterEnd, Failure> {
        match self.connection.disconnect() {
            // A session that does not take the 50 is over: its end is the next report.
            Ok(()) | Err(SubmitError::NotOpen) => {}
            Err(SubmitError::Busy) => {
                return Err(Failure::new(Code::No, SubmitError::Busy.to_string()));
            }
        }
        loop {
            if let CounterReport::Ended { end, .. } = self.next().await? {
                return Ok(end);
            }
        }
    }
}

/// Where to connect, and as whom: each session has an identity of its own.
pub(crate) fn options(args: &ClientArgs) -> Result<ClassicOptions, Failure> {
    if !args.output.quiet {
        screen::warn_of_classic();
    }
    let mut id = [0; ClientId::BYTES];
    let no_randomness = |error| Failure::system("the system gives no randomness", &error);
    getrandom::fill(&mut id).map_err(no_randomness)?;
    Ok(ClassicOptions {
        server: args.server.clone(),
        id: ClientId::random(id),
        connect: args.timeout_or(CONNECT_MAX),
        handshake: args.timeout_or(HANDSHAKE_MAX),
        reply: args.timeout_or(REPLY_MAX),
        wiretap: CaptureRecorder::of_client(&args.record)?,
    })
}

fn key_received(bits: usize) -> Line {
    let text = format!("[STATUS][10] Received the server's public key ({bits} bits)");
    Line::new("key_received", text).with("bits", bits)
}

fn ready(token: &Token) -> Line {
    let hex = hex(token.as_bytes());
    Line::new("ready", format!("[STATUS][20] Received session token: {hex}")).with("token", hex)
}

fn discarded(text: String) -> CounterReport {
    let line = Line::new("discarded", format!("[STATUS][30] {text}")).with("text", text.clone());
    let failure = Failure::new(Code::Integrity, CountError::Discarded { text }.to_string())
        .cause("the message was changed on its way");
    CounterReport::Discarded { line, failure }
}

/// Whether a server's unasked 50 is its decision to end, not an error of ours.
fn is_orderly(text: &str) -> bool {
    !text.starts_with("Error:") && !text.starts_with("Timeout:")
}
