//! One-time login codes, and the browser sessions that they open.
//!
//! A session has two secrets. Its id is a cookie, and a browser sends cookies to every port of a
//! host: also to what another user of the machine serves there. So the id only lets read. To act
//! takes the second secret as well, which scripts of this server's own pages alone can get at.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::token::AccessToken;

/// How long a login link is valid.
const CODE_VALID: Duration = Duration::from_secs(10 * 60);
/// Login links that are valid at a time. A further one invalidates the oldest.
const CODES_MAX: usize = 16;
/// How long a browser session lasts.
pub(crate) const SESSION_VALID: Duration = Duration::from_secs(12 * 60 * 60);
/// Browser sessions at a time. A further one ends the oldest.
const SESSIONS_MAX: usize = 16;

/// The valid codes and the open browser sessions.
#[derive(Debug, Default)]
pub(crate) struct Logins(Mutex<LoginState>);

#[derive(Debug, Default)]
struct LoginState {
    codes: VecDeque<Expiring>,
    sessions: VecDeque<Expiring>,
}

/// What a browser session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum BrowserRight {
    Nothing,
    Read,
    Act,
}

/// The secrets of a new session.
#[derive(Debug)]
pub(crate) struct OpenedLogin {
    pub(crate) id: AccessToken,
    /// What an action shows beside the id.
    pub(crate) proof: AccessToken,
}

#[derive(Debug)]
struct Expiring {
    secret: AccessToken,
    /// Of a session: its second secret. Of a code: nothing that anybody knows.
    proof: AccessToken,
    until: Instant,
}

impl Logins {
    /// A new code, which opens one session.
    pub(crate) fn new_code(&self, now: Instant) -> Result<AccessToken, getrandom::Error> {
        let (code, given) = Expiring::new(now + CODE_VALID)?;
        push(&mut self.lock().codes, CODES_MAX, code);
        Ok(given.id)
    }

    /// Opens a session with a code, which is invalid afterwards. `None` if the code is unknown,
    /// expired or used.
    pub(crate) fn open(
        &self,
        now: Instant,
        code: &AccessToken,
    ) -> Result<Option<OpenedLogin>, getrandom::Error> {
        let mut state = self.lock();
        let Some(place) = find(&state.codes, now, code) else { return Ok(None) };
        let (session, given) = Expiring::new(now + SESSION_VALID)?;
        drop(state.codes.remove(place));
        push(&mut state.sessions, SESSIONS_MAX, session);
        Ok(Some(given))
    }

    /// What may be done with this id, and a proof if there is one.
    pub(crate) fn right(
        &self,
        now: Instant,
        id: &AccessToken,
        proof: Option<&AccessToken>,
    ) -> BrowserRight {
        let state = self.lock();
        let session = find(&state.sessions, now, id).and_then(|place| state.sessions.get(place));
        match (session, proof) {
            (None, _) => BrowserRight::Nothing,
            (Some(session), Some(proof)) if session.proof.is(proof) => BrowserRight::Act,
            (Some(_), _) => BrowserRight::Read,
        }
    }

    /// A poisoned lock means that a holder panicked; what this guards is valid at any point.
    fn lock(&self) -> MutexGuard<'_, LoginState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Expiring {
    /// With new secrets, and a copy of these.
    fn new(until: Instant) -> Result<(Self, OpenedLogin), getrandom::Error> {
        let (id, proof) = (AccessToken::random()?, AccessToken::random()?);
        Ok((Self { secret: id.copy(), proof: proof.copy(), until }, OpenedLogin { id, proof }))
    }
}

/// Compares with each of them: how long it takes does not depend on the place of a match.
fn find(secrets: &VecDeque<Expiring>, now: Instant, wanted: &AccessToken) -> Option<usize> {
    let is_it = |found: &Expiring| found.secret.is(wanted) & (now < found.until);
    let mut place = None;
    for (at, found) in secrets.iter().enumerate() {
        place = if is_it(found) { Some(at) } else { place };
    }
    place
}

fn push(secrets: &mut VecDeque<Expiring>, most: usize, new: Expiring) {
    while secrets.len() >= most {
        drop(secrets.pop_front());
    }
    secrets.push_back(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_opens_one_session_within_ten_minutes_and_the_session_lasts_twelve_hours() {
        let (logins, now) = (Logins::default(), Instant::now());
        let code = logins.new_code(now).unwrap();
        assert!(logins.open(now, &AccessToken::random().unwrap()).unwrap().is_none());
        let session = logins.open(now + CODE_VALID / 2, &code).unwrap().unwrap().id;
        assert!(logins.open(now + CODE_VALID / 2, &code).unwrap().is_none());
        let late = logins.new_code(now).unwrap();
        assert!(logins.open(now + CODE_VALID, &late).unwrap().is_none());
        let is_open = |now, id| logins.right(now, id, None) != BrowserRight::Nothing;
        assert!(is_open(now + SESSION_VALID, &session));
        assert!(!is_open(now + CODE_VALID / 2 + SESSION_VALID, &session));
        assert!(!is_open(now, &code));
    }

    #[test]
    fn of_seventeen_sessions_the_oldest_has_ended_and_of_seventeen_codes_the_oldest_is_invalid() {
        let (logins, now) = (Logins::default(), Instant::now());
        let codes: Vec<_> = (0..=CODES_MAX).map(|_| logins.new_code(now).unwrap()).collect();
        assert!(logins.open(now, &codes[0]).unwrap().is_none());
        let mut sessions: Vec<_> =
            codes[1..].iter().map(|code| logins.open(now, code).unwrap().unwrap().id).collect();
        let is_open = |id: &AccessToken| logins.right(now, id, None) != BrowserRight::Nothing;
        assert!(sessions.iter().all(is_open));
        let code = logins.new_code(now).unwrap();
        sessions.push(logins.open(now, &code).unwrap().unwrap().id);
        let open = sessions.iter().filter(|id| is_open(id)).count();
        assert!(open == SESSIONS_MAX && !is_open(&sessions[0]));
    }

    #[test]
    fn the_id_of_a_session_reads_and_only_with_its_own_proof_it_acts() {
        let (logins, now) = (Logins::default(), Instant::now());
        let open = || logins.open(now, &logins.new_code(now).unwrap()).unwrap().unwrap();
        let (one, other) = (open(), open());
        let right = |id, proof| logins.right(now, id, proof);
        assert_eq!(right(&one.id, Some(&one.proof)), BrowserRight::Act);
        assert_eq!(right(&one.id, None), BrowserRight::Read);
        assert_eq!(right(&one.id, Some(&other.proof)), BrowserRight::Read);
        assert_eq!(right(&one.id, Some(&one.id)), BrowserRight::Read);
        assert_eq!(right(&one.proof, Some(&one.proof)), BrowserRight::Nothing);
    }
}
