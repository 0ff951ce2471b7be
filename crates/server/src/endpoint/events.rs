//! What the sessions of an endpoint ask for and report, in both profiles, and what follows from it:
//! work for the pool, requests for the ledger, notices.

use std::time::Instant;

use ddes_ledger::{AccountId, AccountNumber, Operation, Submission};
use ddes_session::{Ticket, classic, v2};
use ddes_wire::v2::Status;
use ddes_wire::{Amounts, Sequence, SessionNumber};
use smallvec::smallvec;

use super::{ConnectionId, Endpoint, EndpointConnection};
use crate::action::{AuthorizationRequest, Request};
use crate::admission::{Admission, Declined};
use crate::notice::NoticeEvent;
use crate::session::{Classic, EndOrder, SessionEvent, SessionWork};
use crate::watch::{Cause, Profile};

impl Endpoint {
    /// Collects a session's work and events, until there are none.
    pub(super) fn collect(&mut self, now: Instant, id: ConnectionId) {
        loop {
            let Some(connection) = self.connection_mut(id) else { return };
            if let Some(work) = connection.session.poll_work() {
                self.start_work(now, id, work);
                continue;
            }
            let Some(event) = connection.session.poll_event() else { return };
            let event = match event {
                SessionEvent::Classic(event) => self.handle_classic(now, id, event),
                SessionEvent::V2(event) => self.handle_v2(now, id, event),
            };
            if let Some(event) = event {
                self.notify(id, || event);
            }
        }
    }

    /// Gives out a session's work. The first work begins the handshake, if admission allows one.
    fn start_work(&mut self, now: Instant, id: ConnectionId, work: SessionWork) {
        let begun = self.with_admission(id, |admission, entry| {
            match work {
                // A classic server sends first, so this says nothing about the client.
                SessionWork::Classic(_) => {}
                SessionWork::V2(_) => admission.end_silence(entry),
            }
            admission.begin(now, entry, work.cost())
        });
        if let SessionWork::V2(work) = &work
            && let Some(suite) = work.suite()
        {
            self.record(|recorder| recorder.note(id).suite = Some(suite));
        }
        let Some(connection) = self.connection_mut(id) else { return };
        match begun {
            Some(Ok(())) => self.work.push_back((id, work)),
            Some(Err(Declined::TooFast(most))) => connection.session.decline(now, most),
            Some(Err(Declined::TooMany)) => connection.session.order_end(now, EndOrder::TooMany),
            None => {}
        }
    }

    fn handle_classic(
        &mut self,
        now: Instant,
        id: ConnectionId,
        event: classic::ServerEvent,
    ) -> Option<NoticeEvent> {
        Some(match event {
            classic::ServerEvent::Submit { ticket, amount } => {
                self.open_classic(id)?;
                let connection = self.connection_mut(id)?;
                // The number after the last counted one. The ledger checks it.
                let first_seq = connection.standing.last_seq.forward(1).ok()?;
                let request = connection.submit(ticket, first_seq, smallvec![amount])?;
                self.requests.push_back(request);
                self.queued_values += 1;
                self.record(|recorder| recorder.submit(now, id, 1, amount));
                NoticeEvent::Received { first: amount, count: 1 }
            }
            classic::ServerEvent::TokenShared => {
                self.record(|recorder| recorder.open(id, Profile::Classic));
                NoticeEvent::TokenShared
            }
            classic::ServerEvent::Ended(end) => {
                self.record_end(now, id, Profile::Classic, Cause::from(&end));
                let ends_all = |classic: &Classic| classic.config.end_all;
                if end == classic::ServerEnd::Bye
                    && self.config.profiles.classic.as_ref().is_some_and(ends_all)
                {
                    self.end_all(now, EndOrder::ClassicEndAll, Some(id));
                }
                self.cancel_work(id);
                NoticeEvent::ClassicEnded(end)
            }
            classic::ServerEvent::KeyVerified => {
                if !self.with_admission(id, Admission::turn_classic)? {
                    self.connection_mut(id)?.session.order_end(now, EndOrder::TooMany);
                }
                NoticeEvent::KeyVerified
            }
            classic::ServerEvent::Tampered => NoticeEvent::Tampered,
            classic::ServerEvent::Ignored { opcode } => NoticeEvent::Ignored { opcode },
            classic::ServerEvent::ResultSent { sum } => {
                self.record(|recorder| recorder.counts.results += 1);
                NoticeEvent::ResultSent { status: Status::Applied, sum }
            }
        })
    }

    /// Opens the classic account of a session with its first integer, so that a session without
    /// integers writes nothing to the ledger.
    fn open_classic(&mut self, id: ConnectionId) -> Option<()> {
        let number = self.classic_next;
        let connection = self.connection_mut(id)?;
        if connection.account.is_none() {
            connection.account = Some(AccountNumber::Classic(number));
            // A classic account has only one session.
            connection.number = SessionNumber::new(1);
            // Numbered in the order in which accounts open, not in that of their connections: the
            // ledger requires ascending numbers.
            self.classic_next = number.saturating_add(1);
            let operation = Operation::Open(AccountId::Classic(number));
            self.requests.push_back(Request { to: None, operation });
        }
        Some(())
    }

    fn handle_v2(
        &mut self,
        now: Instant,
        id: ConnectionId,
        event: v2::ServerEvent,
    ) -> Option<NoticeEvent> {
        Some(match event {
            v2::ServerEvent::Authenticated { ticket, key } => {
                self.authorizations.push_back(AuthorizationRequest {
                    connection: id,
                    ticket,
                    key: *key,
                });
                return None;
            }
            v2::ServerEvent::TokenShared => {
                self.record(|recorder| recorder.open(id, Profile::V2));
                NoticeEvent::TokenShared
            }
            v2::ServerEvent::Submit { ticket, first_seq, amounts } => {
                let (first, last, count) = (*amounts.first()?, *amounts.last()?, amounts.len());
                let connection = self.connection_mut(id)?;
                let has_submitted = std::mem::replace(&mut connection.has_submitted, true);
                let request = connection.submit(ticket, first_seq, amounts)?;
                if has_submitted {
                    self.traffic_at = now;
                }
                self.requests.push_back(request);
                self.queued_values += count;
                self.record(|recorder| recorder.submit(now, id, count, last));
                NoticeEvent::Received { first, count }
            }
            v2::ServerEvent::Answered(answer) => {
                self.record(|recorder| recorder.counts.results += 1);
                NoticeEvent::ResultSent { status: answer.status, sum: answer.sum }
            }
            v2::ServerEvent::EndAll => {
                self.end_all(now, EndOrder::Operator, Some(id));
                return None;
            }
            v2::ServerEvent::Ended(end) => {
                self.record_end(now, id, Profile::V2, Cause::from(&end));
                self.cancel_work(id);
                NoticeEvent::Ended(end)
            }
        })
    }
}

impl EndpointConnection {
    fn submit(&self, ticket: Ticket, first_seq: Sequence, amounts: Amounts) -> Option<Request> {
        let (account, session) = (self.account?, self.number);
        let submission = Submission { account, session, first_seq, amounts };
        Some(Request { to: Some((self.id, ticket)), operation: Operation::Add(submission) })
    }
}
