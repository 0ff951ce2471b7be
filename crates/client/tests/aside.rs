//! P-29: an outbox goes on behind what its own home counted without it, exactly once, and behind
//! nothing else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use ddes_client::outbox::{InputMark, Objection, Outbox, OutboxOwner, Span};
use ddes_identity::SigningKey;
use ddes_wire::v2::Welcome;
use ddes_wire::{Sequence, SessionNumber, Standing, Token, Total};

fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("aside-{}-{count}", std::process::id()))
}

fn owner() -> OutboxOwner {
    OutboxOwner { key: SigningKey::from_seed(&[3; 32]).public(), server: "a:1".parse().unwrap() }
}

/// The ledger's side of one account: every value in the order in which it counted.
#[derive(Default)]
struct Account {
    values: Vec<i64>,
    last_session: u64,
    newest: u64,
}

impl Account {
    fn stand(&self) -> (Sequence, Total) {
        let sum = self.values.iter().copied().map(i128::from).sum();
        (Sequence::new(self.values.len() as u64), Total::new(sum))
    }

    /// A session opens: its 20.
    fn open(&mut self) -> Welcome {
        self.newest += 1;
        let (last_seq, sum) = self.stand();
        let last_session = SessionNumber::new(self.last_session);
        Welcome {
            token: Token::new([7; 16]),
            session: SessionNumber::new(self.newest),
            standing: Standing { last_seq, last_session, sum },
            idle_millis: 60_000,
            values_max: 100,
        }
    }

    /// The newest session adds.
    fn add(&mut self, values: &[i64]) {
        if !values.is_empty() {
            self.values.extend(values);
            self.last_session = self.newest;
        }
    }

    /// A session without the outbox: what it counted.
    fn plain(&mut self, values: &[i64]) -> Span {
        let from = self.stand();
        self.open();
        self.add(values);
        Span { from, to: self.stand() }
    }
}

/// An outbox of which the values 1 and 2 count and are confirmed, 4 and 8 were sent, and 16 was
/// taken after its session had ended.
fn with_values_in_doubt(folder: &std::path::Path) -> (Outbox, Account) {
    let mut account = Account::default();
    let mut outbox = Outbox::open(folder, &owner()).unwrap();
    outbox.admit(&account.open(), false, None).unwrap().unwrap();
    outbox.take(&[1, 2, 4, 8], InputMark::default()).unwrap();
    account.add(&[1, 2]);
    let (last_seq, sum) = account.stand();
    outbox.confirm(last_seq, sum).unwrap().unwrap();
    outbox.session_ended();
    outbox.take(&[16], InputMark::default()).unwrap();
    (outbox, account)
}

#[test]
fn values_that_were_sent_before_count_once_whether_or_not_they_had_counted() {
    for counted in [&[][..], &[4], &[4, 8]] {
        let folder = folder();
        let (mut outbox, mut account) = with_values_in_doubt(&folder);
        account.add(counted);
        let span = account.plain(&[100]);
        let welcome = account.open();
        assert!(matches!(
            outbox.admit(&welcome, true, None).unwrap(),
            Err(Objection::AnotherWriter { .. })
        ));
        outbox.admit(&welcome, false, Some(&span)).unwrap().unwrap();
        // A crash right behind it changes nothing.
        drop(outbox);
        let outbox = Outbox::open(&folder, &owner()).unwrap();
        assert_eq!(outbox.confirmed(), account.stand().0);
        let waiting = outbox.values(outbox.next_unconfirmed(), 10);
        account.add(&waiting);
        let mut all = account.values.clone();
        all.sort_unstable();
        assert_eq!(all, [1, 2, 4, 8, 16, 100]);
    }
}

#[test]
fn a_span_that_proves_nothing_changes_nothing() {
    let folder = folder();
    let (mut outbox, mut account) = with_values_in_doubt(&folder);
    account.add(&[4]);
    let span = account.plain(&[100]);
    let (seq, sum) = (span.from.0.get(), span.from.1.get());
    let stand = |seq: u64, sum: i128| (Sequence::new(seq), Total::new(sum));
    let wrong = [
        // It begins before what is confirmed, behind what was sent, or with another sum.
        Span { from: stand(1, 1), ..span },
        Span { from: stand(5, sum + 24), ..span },
        Span { from: stand(seq, sum + 1), ..span },
        // It ends elsewhere.
        Span { to: (span.to.0, Total::new(span.to.1.get() + 1)), ..span },
        Span { to: stand(seq, sum), ..span },
    ];
    let welcome = account.open();
    for span in &wrong {
        assert!(outbox.admit(&welcome, false, Some(span)).unwrap().is_err(), "{span:?}");
    }
    // A session number that was given out before.
    let again = Welcome { session: SessionNumber::new(1), ..welcome };
    assert!(outbox.admit(&again, false, Some(&span)).unwrap().is_err());
    // Somebody else has added since.
    account.plain(&[7]);
    assert!(outbox.admit(&account.open(), false, Some(&span)).unwrap().is_err());
    assert_eq!((outbox.confirmed().get(), outbox.pending()), (2, 3));
}

#[test]
fn a_persons_word_is_enough_only_where_no_value_is_in_doubt() {
    let (mut outbox, mut account) = with_values_in_doubt(&folder());
    assert!(outbox.is_in_doubt());
    account.plain(&[100]);
    assert!(outbox.admit(&account.open(), true, None).unwrap().is_err());

    let folder = folder();
    let mut account = Account::default();
    let mut outbox = Outbox::open(&folder, &owner()).unwrap();
    outbox.admit(&account.open(), false, None).unwrap().unwrap();
    outbox.take(&[1], InputMark::default()).unwrap();
    account.add(&[1]);
    outbox.confirm(account.stand().0, account.stand().1).unwrap().unwrap();
    outbox.session_ended();
    outbox.take(&[2, 4], InputMark::default()).unwrap();
    account.plain(&[100]);
    let welcome = account.open();
    assert!(!outbox.is_in_doubt());
    assert!(outbox.admit(&welcome, false, None).unwrap().is_err());
    outbox.admit(&welcome, true, None).unwrap().unwrap();
    drop(outbox);
    let outbox = Outbox::open(&folder, &owner()).unwrap();
    account.add(&outbox.values(outbox.next_unconfirmed(), 10));
    assert_eq!(account.values, [1, 100, 2, 4]);
}

/// Sessions with the outbox that are cut off anywhere, and sessions without it, in any order: every
/// value counts once.
#[test]
fn any_order_of_sessions_with_and_without_the_outbox_counts_every_value_once() {
    let mut random = 1_u64;
    let mut draw = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).unwrap()
    };
    for _ in 0..100 {
        let folder = folder();
        let mut outbox = Outbox::open(&folder, &owner()).unwrap();
        let (mut account, mut given) = (Account::default(), Vec::new());
        let mut span: Option<Span> = None;
        for _ in 0..12 {
            let values: Vec<i64> = (0..draw(4)).map(|_| 1 << draw(50)).collect();
            given.extend(&values);
            if draw(3) == 0 {
                let added = account.plain(&values);
                let before = span.filter(|span| span.to == added.from);
                span = Some(Span { from: before.map_or(added.from, |span| span.from), ..added });
                continue;
            }
            let (before, after) = values.split_at(draw(values.len() + 1));
            outbox.take(before, InputMark::default()).unwrap();
            outbox.admit(&account.open(), false, span.take().as_ref()).unwrap().unwrap();
            outbox.take(after, InputMark::default()).unwrap();
            let waiting = outbox.values(outbox.next_unconfirmed(), 100);
            account.add(waiting.get(..draw(waiting.len() + 1)).unwrap());
            if draw(2) == 0 {
                outbox.confirm(account.stand().0, account.stand().1).unwrap().unwrap();
            }
            outbox.session_ended();
            if draw(3) == 0 {
                drop(outbox);
                outbox = Outbox::open(&folder, &owner()).unwrap();
            }
        }
        outbox.admit(&account.open(), false, span.as_ref()).unwrap().unwrap();
        account.add(&outbox.values(outbox.next_unconfirmed(), 100));
        given.sort_unstable();
        account.values.sort_unstable();
        assert_eq!(account.values, given);
    }
}
