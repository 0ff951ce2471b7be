//! One-time login codes, and the browser sessions that they open.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::token::Token;

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
pub(crate) struct Logins(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    codes: VecDeque<Expiring>,
    sessions: VecDeque<Expiring>,
}

#[derive(Debug)]
struct Expiring {
    secret: Token,
    until: Instant,
}

impl Logins {
    /// A new code, which opens one session.
    pub(crate) fn new_code(&self, now: Instant) -> Result<Token, getrandom::Error> {
        let (kept, given) = twice()?;
        push(&mut self.lock().codes, CODES_MAX, Expiring { secret: kept, until: now + CODE_VALID });
        Ok(given)
    }

    /// Opens a session with a code, which is invalid afterwards. `None` if the code is unknown,
    /// expired or used.
    pub(crate) fn open(
        &self,
        now: Instant,
        code: &Token,
    ) -> Result<Option<Token>, getrandom::Error> {
        let mut state = self.lock();
        let Some(place) = find(&state.codes, now, code) else { return Ok(None) };
        let (kept, given) = twice()?;
        drop(state.codes.remove(place));
        let session = Expiring { secret: kept, until: now + SESSION_VALID };
        push(&mut state.sessions, SESSIONS_MAX, session);
        Ok(Some(given))
    }

    /// Whether a session with this id is open.
    pub(crate) fn is_open(&self, now: Instant, id: &Token) -> bool {
        find(&self.lock().sessions, now, id).is_some()
    }

    /// A poisoned lock means that a holder panicked; what this guards is valid at any point.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A new secret, and a copy of it.
fn twice() -> Result<(Token, Token), getrandom::Error> {
    let secret = Token::random()?;
    let copy = secret.copy();
    Ok((secret, copy))
}

/// Compares with each of them: how long it takes does not depend on the place of a match.
fn find(secrets: &VecDeque<Expiring>, now: Instant, wanted: &Token) -> Option<usize> {
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
        assert!(logins.open(now, &Token::random().unwrap()).unwrap().is_none());
        let session = logins.open(now + CODE_VALID / 2, &code).unwrap().unwrap();
        assert!(logins.open(now + CODE_VALID / 2, &code).unwrap().is_none());
        let late = logins.new_code(now).unwrap();
        assert!(logins.open(now + CODE_VALID, &late).unwrap().is_none());
        assert!(logins.is_open(now + SESSION_VALID, &session));
        assert!(!logins.is_open(now + CODE_VALID / 2 + SESSION_VALID, &session));
        assert!(!logins.is_open(now, &code));
    }

    #[test]
    fn of_seventeen_sessions_the_oldest_has_ended_and_of_seventeen_codes_the_oldest_is_invalid() {
        let (logins, now) = (Logins::default(), Instant::now());
        let codes: Vec<_> = (0..=CODES_MAX).map(|_| logins.new_code(now).unwrap()).collect();
        assert!(logins.open(now, &codes[0]).unwrap().is_none());
        let mut sessions: Vec<_> =
            codes[1..].iter().map(|code| logins.open(now, code).unwrap().unwrap()).collect();
        assert!(sessions.iter().all(|session| logins.is_open(now, session)));
        let code = logins.new_code(now).unwrap();
        sessions.push(logins.open(now, &code).unwrap().unwrap());
        let open = sessions.iter().filter(|session| logins.is_open(now, session)).count();
        assert!(open == SESSIONS_MAX && !logins.is_open(now, &sessions[0]));
    }
}
