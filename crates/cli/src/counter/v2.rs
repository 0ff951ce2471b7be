//! An account at a D-DDES/2 server: a courier delivers to it, session after session.

use ddes_client::courier::{Courier, CourierEvent, Lost};
use ddes_client::outbox::{InputMark, JournalError, TakeError};
use ddes_session::v2::ClientEnd;
use ddes_wire::v2::{Farewell, Reason, Scope, Welcome};
use ddes_wire::{ClientId, Sequence};

use super::{
    Counter, CounterEnd, CounterReport, NotTaken, Queue, ended_by_server, last_sum, session_ended,
};
use crate::failure::{Code, Failure};
use crate::meet::Meeting;
use crate::refusal;
use crate::screen::{Line, number};

pub(crate) struct AccountCounter<'a> {
    meeting: &'a Meeting,
    courier: Courier,
    /// More integers are taken while fewer than this wait.
    waiting_max: usize,
    /// The last integer that was covered when the first session opened, once one has.
    base: Option<Sequence>,
}

impl<'a> AccountCounter<'a> {
    pub(crate) fn new(meeting: &'a Meeting, courier: Courier, waiting_max: usize) -> Self {
        Self { meeting, courier, waiting_max, base: None }
    }

    /// For what is left to do with the outbox.
    pub(crate) fn into_courier(self) -> Courier {
        self.courier
    }

    /// What a person reads once the first session is open.
    pub(crate) fn greeting(&mut self, welcome: &Welcome) -> Vec<CounterReport> {
        let (server, key) = (&self.meeting.server, self.meeting.identity);
        let id = ClientId::new(key.uuid());
        let connected = format!("Connected to server at {server}; its key is the one known");
        let connected = Line::new("connected", format!("[CONNECTED] {connected}"));
        let client_id = format!("[CLIENT ID] UUID: {id}, {}", key.fingerprint());
        vec![
            CounterReport::Step(connected.with("server", server.to_string())),
            CounterReport::Step(
                Line::new("client_id", client_id)
                    .with("uuid", id.to_string())
                    .with("fingerprint", key.fingerprint()),
            ),
            self.opened(welcome),
        ]
    }

    fn opened(&mut self, welcome: &Welcome) -> CounterReport {
        self.base.get_or_insert(self.courier.outbox().confirmed());
        let standing = welcome.standing;
        let text = format!(
            "[STATUS][20] Session {} is open. So far: {} integers, sum {}",
            welcome.session, standing.last_seq, standing.sum
        );
        let line = Line::new("ready", text)
            .with("session", number(&welcome.session))
            .with("count", number(&standing.last_seq))
            .with("sum", number(&standing.sum))
            .with("idle_secs", welcome.idle_millis / 1000);
        CounterReport::Opened { line, sum: Some(standing.sum) }
    }
}

impl Counter for AccountCounter<'_> {
    type Integer = i64;

    const HAS_OPERATORS: bool = true;

    async fn next(&mut self) -> Result<CounterReport, Failure> {
        Ok(match self.meeting.next(&mut self.courier).await? {
            CourierEvent::Opened(welcome) => self.opened(&welcome),
            CourierEvent::Counted { last_seq, sum } => {
                CounterReport::Summed { sum, count: Some(last_seq) }
            }
            CourierEvent::Unavailable => CounterReport::Delayed(refusal::unavailable()),
            CourierEvent::Lost { why, retry } => {
                let line = refusal::lost(&why, retry, self.meeting);
                let end = match why {
                    // What superseded the session may be our own ghost (rule P-29): the courier
                    // connects once more, or gives up.
                    Lost::Ended(ClientEnd::Farewell(last)) if last.reason != Reason::Superseded => {
                        Some(end(last, self.meeting))
                    }
                    Lost::Ended(_) | Lost::Enter(_) => None,
                };
                CounterReport::Lost { line, end }
            }
        })
    }

    fn give(&mut self, values: &[i64], mark: InputMark) -> Result<(), NotTaken> {
        self.courier.take(values, mark).map_err(|error| {
            let is_full = matches!(error, TakeError::Journal(JournalError::Full(_)));
            // What waits makes room in the journal once it is counted.
            let may_retry = is_full && self.courier.outbox().pending() > 0;
            NotTaken { failure: refusal::of_take(&error), may_retry }
        })
    }

    fn queue(&self) -> Queue {
        let outbox = self.courier.outbox();
        let (waiting, has_opened) = (outbox.pending(), self.base.is_some());
        if waiting == 0 && has_opened {
            Queue::Empty
        } else if waiting < self.waiting_max && (has_opened || outbox.is_durable()) {
            // An outbox on disk takes integers for a server that is away.
            Queue::HasRoom
        } else {
            Queue::Full
        }
    }

    fn counted(&self) -> u64 {
        let confirmed = self.courier.outbox().confirmed().get();
        self.base.map_or(0, |base| confirmed.saturating_sub(base.get()))
    }

    async fn leave(self, scope: Scope) -> Result<CounterEnd, Failure> {
        let Self { courier, meeting, .. } = self;
        match courier.close(scope).await.map_err(|error| refusal::of(error, meeting))?.1 {
            Some(ClientEnd::Farewell(farewell))
                if scope == Scope::All && farewell.reason == Reason::NotAuthorized =>
            {
                Err(refusal::not_operator(meeting))
            }
            Some(ClientEnd::Farewell(farewell)) => Ok(end(farewell, meeting)),
            Some(end) => Err(refusal::of_end(&end, meeting)),
            None => {
                let text = "[DISCONNECTED][50] There was no session to end.";
                Ok(CounterEnd { last_sum: None, outcome: Ok(Line::new("disconnected", text)) })
            }
        }
    }
}

/// An orderly end, whoever wanted it, is no failure.
fn end(farewell: Farewell, meeting: &Meeting) -> CounterEnd {
    let last_sum = last_sum(farewell.sum).with("count", number(&farewell.last_seq));
    let (last_sum, outcome) = match farewell.reason {
        Reason::Bye => (Some(last_sum), Ok(session_ended())),
        Reason::ShuttingDown | Reason::Operator | Reason::TooOld => {
            (Some(last_sum), Ok(ended_by_server(&farewell.text)))
        }
        Reason::Idle => (Some(last_sum), Err(idle())),
        Reason::Superseded
        | Reason::NotAuthorized
        | Reason::Token
        | Reason::Authentication
        | Reason::Protocol
        | Reason::Unsupported
        | Reason::TooMany => (None, Err(refusal::of_end(&ClientEnd::Farewell(farewell), meeting))),
    };
    CounterEnd { last_sum, outcome }
}

fn idle() -> Failure {
    Failure::new(Code::Timeout, "the server ended the session: no integer came in time")
        .next("connect again: the sum goes on; the server's --idle-secs sets the time")
}
