//! Keys of sessions that another implementation of DES made are recovered: whole searches, stopped
//! ones, and those in which nothing is to be found.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use ddes_lab::recover::{
    self, Block, DesKey, KeySpace, MEMORY_MIN, PAD, Pair, RecoverError, SearchOutcome,
    SearchProgress, SearchRun, SearchState,
};
use des::cipher::{BlockCipherEncrypt, KeyInit};
use hmac::{Hmac, Mac};
use sha2::Sha256;

fn encrypt(keys: [&DesKey; 2], text: &mut [u8]) {
    for key in keys {
        let des = des::Des::new(key.as_bytes().into());
        for block in text.as_chunks_mut::<8>().0 {
            des.encrypt_block(block.into());
        }
    }
}

/// What the originals send, made of the specification's formulas with another DES.
struct Session {
    key1: DesKey,
    key2: DesKey,
    token: [u8; 16],
}

impl Session {
    fn new(rng: &mut fastrand::Rng) -> Self {
        let mut key = || DesKey::new(rng.u64(..).to_be_bytes());
        Self { key1: key(), key2: key(), token: rng.u128(..).to_be_bytes() }
    }

    fn message20(&self) -> [u8; 24] {
        let mut text = [8; 24];
        text[..16].copy_from_slice(&self.token);
        encrypt([&self.key1, &self.key1], &mut text);
        text
    }

    fn body30(&self, integer: u64) -> [u8; 80] {
        let mut body = [8; 80];
        body[..8].copy_from_slice(&integer.to_be_bytes());
        body[8..24].copy_from_slice(b"sixteen of UUID.");
        encrypt([&self.key1, &self.key2], &mut body[..32]);
        body[32..48].copy_from_slice(&self.token);
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.key2.as_bytes()).unwrap();
        mac.update(&body[..48]);
        body[48..].copy_from_slice(&mac.finalize().into_bytes());
        body
    }

    /// The padding block, and the integer's.
    fn pairs30(&self, integer: u64) -> [Pair; 2] {
        let body = self.body30(integer);
        let block = |i: usize| std::array::from_fn(|byte| body[8 * i + byte]);
        [
            Pair { plaintext: PAD, ciphertext: block(3) },
            Pair { plaintext: integer.to_be_bytes(), ciphertext: block(0) },
        ]
    }
}

fn space(rng: &mut fastrand::Rng, key: &DesKey, bits: usize) -> KeySpace {
    let mut places: Vec<u32> = (0..56).collect();
    rng.shuffle(&mut places);
    KeySpace::around(key, places[..bits].iter().fold(0, |mask, place| mask | 1 << place))
}

fn run(threads: usize) -> SearchRun {
    SearchRun {
        threads: NonZeroUsize::new(threads).unwrap(),
        first_only: false,
        ..SearchRun::all_cores()
    }
}

fn go_on(_: &SearchProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn done<F>(outcome: SearchOutcome<F>) -> Vec<F> {
    match outcome {
        SearchOutcome::Done(found) => found,
        SearchOutcome::Stopped(state) => panic!("stopped: {state:?}"),
    }
}

fn stopped<F>(outcome: SearchOutcome<F>) -> SearchState {
    match outcome {
        SearchOutcome::Done(found) => panic!("done, {} found", found.len()),
        SearchOutcome::Stopped(state) => state,
    }
}

#[test]
fn key1_and_then_key2_with_its_parity_fall_without_a_table() {
    let mut rng = fastrand::Rng::with_seed(1);
    for (threads, bits) in [(1, 0), (1, 1), (2, 9), (3, 22)] {
        let session = Session::new(&mut rng);
        let (run, message) = (run(threads), session.message20());
        for token in [Some(&session.token), None] {
            let space = space(&mut rng, &session.key1, bits);
            let found = recover::key1(&message, token, &space, &run, &mut go_on).unwrap();
            let found: Vec<_> = done(found).iter().map(DesKey::bits).collect();
            assert_eq!(found, [session.key1.bits()], "{bits} bits");
        }
        let body = session.body30(rng.u64(..));
        let space = space(&mut rng, &session.key2, bits);
        let found = recover::key2(&session.key1, &body, &space, &run, &mut go_on).unwrap();
        let found: Vec<_> = done(found).iter().map(|key| *key.as_bytes()).collect();
        assert_eq!(found, [*session.key2.as_bytes()], "{bits} bits");
    }
}

/// Two weak keys both turn every block into itself, so both fit the padding; the token tells
/// neither from the other, and a token of another session rules out both.
#[test]
fn several_keys_that_fit_are_all_found_and_a_sieve_tells_them_apart() {
    let zero = DesKey::new([1; 8]);
    let other = DesKey::new([0xe0, 0xe0, 0xe0, 0xe0, 0xf1, 0xf1, 0xf1, 0xf1]);
    // 20 of the 28 bits in which they differ are unknown, so each is in a space of its own, and
    // both are in the slices of the larger one that begin with them.
    let space = KeySpace::around(&zero, other.bits() & !0xff);
    let nearby = KeySpace::around(&other, other.bits() & !0xff);
    let mut message = [8; 24];
    message[..16].copy_from_slice(b"a token, sixteen");
    let token: [u8; 16] = *b"a token, sixteen";
    for (space, key) in [(space, &zero), (nearby, &other)] {
        let found = recover::key1(&message, Some(&token), &space, &run(2), &mut go_on).unwrap();
        assert!(done(found).iter().any(|found| found.bits() == key.bits()));
        let found = recover::key1(&message, Some(&[0; 16]), &space, &run(2), &mut go_on).unwrap();
        assert!(done(found).is_empty());
    }
}

#[test]
fn a_space_without_the_key_gives_nothing() {
    let mut rng = fastrand::Rng::with_seed(2);
    let session = Session::new(&mut rng);
    let wrong = KeySpace::new(!session.key1.bits(), 0x3ff);
    let found = recover::key1(&session.message20(), None, &wrong, &run(2), &mut go_on).unwrap();
    assert!(done(found).is_empty());
    let pairs = session.pairs30(7);
    let right = space(&mut rng, &session.key2, 10);
    let found = recover::meet(&pairs, &wrong, &right, 1 << 20, &run(2), &mut go_on).unwrap();
    assert!(done(found).is_empty());
}

/// Each time the search is told to stop at once. What it did until then is not done again, and in
/// the end the key is found.
#[test]
fn a_search_that_is_stopped_again_and_again_goes_on_where_it_was() {
    let mut rng = fastrand::Rng::with_seed(3);
    let session = Session::new(&mut rng);
    let (message, space) = (session.message20(), space(&mut rng, &session.key1, 24));
    let (mut run, mut runs, mut tried) = (run(2), 0, 0);
    let found = loop {
        let mut stop = |progress: &SearchProgress| {
            assert!(progress.tried >= tried && progress.of == 1 << 24);
            tried = progress.tried;
            ControlFlow::Break(())
        };
        match recover::key1(&message, Some(&session.token), &space, &run, &mut stop).unwrap() {
            SearchOutcome::Done(found) => break found,
            SearchOutcome::Stopped(state) => run.resume = Some(state.to_string().parse().unwrap()),
        }
        runs += 1;
        assert!(runs <= 16, "each run does a slice of 16 at least");
    };
    assert!(runs > 0);
    assert_eq!(found.iter().map(DesKey::bits).collect::<Vec<_>>(), [session.key1.bits()]);
}

#[test]
fn the_first_key_that_is_found_can_end_the_search() {
    let mut rng = fastrand::Rng::with_seed(4);
    let session = Session::new(&mut rng);
    let (message, space) = (session.message20(), space(&mut rng, &session.key1, 21));
    let run = SearchRun { first_only: true, ..run(1) };
    let mut last = None;
    let mut watch = |progress: &SearchProgress| {
        last = Some(*progress);
        ControlFlow::Continue(())
    };
    let found = recover::key1(&message, Some(&session.token), &space, &run, &mut watch).unwrap();
    assert_eq!(done(found).len(), 1);
    assert_eq!(last.map(|progress| progress.found), Some(1));
}

/// With room for the whole table, for a part of it, and for less than a slice.
#[test]
fn both_keys_fall_to_a_meet_in_the_middle_with_any_memory() {
    let mut rng = fastrand::Rng::with_seed(5);
    for (threads, bits1, bits2, memory) in [
        (1, 0, 0, MEMORY_MIN),
        (2, 10, 12, MEMORY_MIN),
        (2, 15, 10, MEMORY_MIN),
        (2, 16, 9, 1 << 18),
        (2, 21, 14, 10 << 20),
        (3, 21, 14, 100 << 20),
    ] {
        let session = Session::new(&mut rng);
        let spaces = [space(&mut rng, &session.key1, bits1), space(&mut rng, &session.key2, bits2)];
        let pairs = session.pairs30(rng.u64(..));
        let mut last = None;
        let mut watch = |progress: &SearchProgress| {
            last = Some(*progress);
            ControlFlow::Continue(())
        };
        let found =
            recover::meet(&pairs, &spaces[0], &spaces[1], memory, &run(threads), &mut watch);
        let found: Vec<_> =
            done(found.unwrap()).iter().map(|(one, two)| (one.bits(), two.bits())).collect();
        let expected = [(session.key1.bits(), session.key2.bits())];
        assert_eq!(found, expected, "{bits1} and {bits2} bits in {memory} bytes");
        assert!(last.is_none_or(|last| last.tried <= last.of));
    }
}

/// Two weak keys in a row are nothing too: E(W, E(W, m)) = m.
#[test]
fn a_second_known_block_rules_out_pairs_that_fit_the_first_by_chance() {
    let mut rng = fastrand::Rng::with_seed(6);
    let session = Session::new(&mut rng);
    let [first, second] = session.pairs30(77);
    let wrong = Pair { ciphertext: [0; 8], ..second };
    let spaces = [space(&mut rng, &session.key1, 9), space(&mut rng, &session.key2, 9)];
    for (pairs, expected) in [
        (vec![first], 1),
        (vec![first, second], 1),
        (vec![first, wrong], 0),
        (vec![second, first], 1),
        (vec![first, second, wrong], 0),
    ] {
        let found =
            recover::meet(&pairs, &spaces[0], &spaces[1], 1 << 20, &run(1), &mut go_on).unwrap();
        assert_eq!(done(found).len(), expected);
    }
}

/// At each report, in each of several tables.
#[test]
fn a_meet_that_is_stopped_goes_on_where_it_was() {
    let mut rng = fastrand::Rng::with_seed(7);
    let session = Session::new(&mut rng);
    let spaces = [space(&mut rng, &session.key1, 12), space(&mut rng, &session.key2, 22)];
    let pairs = session.pairs30(1);
    // Weak spots of a stopped search are its borders: all keys are tried, and one is there.
    let (mut run, mut runs) = (run(2), 0);
    let found = loop {
        let mut stop = |_: &SearchProgress| ControlFlow::Break(());
        match recover::meet(&pairs, &spaces[0], &spaces[1], MEMORY_MIN, &run, &mut stop).unwrap() {
            SearchOutcome::Done(found) => break found,
            SearchOutcome::Stopped(state) => run.resume = Some(state.to_string().parse().unwrap()),
        }
        runs += 1;
        assert!(runs < 100);
    };
    assert!(runs > 0);
    let found: Vec<_> = found.iter().map(|(one, two)| (one.bits(), two.bits())).collect();
    assert_eq!(found, [(session.key1.bits(), session.key2.bits())]);
}

#[test]
fn a_state_is_of_one_search_alone() {
    let mut rng = fastrand::Rng::with_seed(8);
    let session = Session::new(&mut rng);
    let space = space(&mut rng, &session.key1, 24);
    let mut stop = |_: &SearchProgress| ControlFlow::Break(());
    let state = recover::key1(&session.message20(), None, &space, &run(1), &mut stop).unwrap();
    let run = SearchRun { resume: Some(stopped(state)), ..run(1) };
    let token = Some(&session.token);
    let message = session.message20();
    for outcome in [
        recover::key1(&[0; 24], None, &space, &run, &mut go_on),
        recover::key1(&message, token, &space, &run, &mut go_on),
        recover::key1(&message, None, &KeySpace::all(), &run, &mut go_on),
        recover::key2(&session.key1, &session.body30(1), &space, &run, &mut go_on),
    ] {
        assert_eq!(outcome.unwrap_err(), RecoverError::AnotherSearch);
    }
    assert!(!format!("{:?}", run.resume).contains("part 0, slice 0"));
    // What its text says is held to the search: the keys found, and where it goes on.
    let text = run.resume.unwrap().to_string();
    for wrong in [
        format!("{text}found 0123456789abcdef\n"),
        text.lines()
            .map(|line| match line.strip_prefix("next ") {
                Some(_) => "next 99999999\n".to_owned(),
                None => format!("{line}\n"),
            })
            .collect(),
    ] {
        let run = SearchRun { resume: Some(wrong.parse().unwrap()), ..self::run(1) };
        let outcome = recover::key1(&message, None, &space, &run, &mut go_on);
        assert_eq!(outcome.unwrap_err(), RecoverError::AnotherSearch, "{wrong}");
    }
    let pairs = session.pairs30(1);
    let few = KeySpace::around(&session.key2, 0xff);
    let state = recover::meet(&pairs, &space, &few, 1 << 24, &self::run(1), &mut stop).unwrap();
    let text = format!("{}found 0123456789abcdef 0123456789abcdef\n", stopped(state));
    let run = SearchRun { resume: Some(text.parse().unwrap()), ..self::run(1) };
    let outcome = recover::meet(&pairs, &space, &few, 1 << 24, &run, &mut go_on);
    assert_eq!(outcome.unwrap_err(), RecoverError::AnotherSearch);
}

#[test]
fn what_is_no_state_is_refused_by_its_line() {
    let head =
        "ddes key recovery, state 1\ntask 000102030405060708090a0b0c0d0e0f\npart 0\nnext 5\n";
    let whole = format!("{head}found 0123456789abcdef\nfound 0123456789abcdef fedcba9876543210\n");
    assert_eq!(whole.parse::<SearchState>().unwrap().to_string(), whole);
    for (line, text) in [
        (1, ""),
        (1, "ddes key recovery, state 2\n"),
        (2, "ddes key recovery, state 1\n"),
        (2, "ddes key recovery, state 1\ntask 00\n"),
        (3, "ddes key recovery, state 1\ntask 000102030405060708090a0b0c0d0e0f\npart -1\n"),
        (5, &format!("{head}found 0123456789abcde\n")),
        (5, &format!("{head}found +123456789abcdef\n")),
        (6, &format!("{head}found 0123456789abcdef\nlost\n")),
    ] {
        let error = text.parse::<SearchState>().unwrap_err();
        assert_eq!(error, RecoverError::MalformedState { line }, "{text}");
    }
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let (all, block): (_, Block) = (KeySpace::all(), [0; 8]);
    let pair = [Pair { plaintext: block, ciphertext: block }];
    let meet = |pairs: &[Pair], memory| {
        recover::meet(pairs, &all, &all, memory, &run(1), &mut go_on).unwrap_err()
    };
    assert_eq!(meet(&[], 1 << 20), RecoverError::NoPair);
    let bytes = MEMORY_MIN - 1;
    assert_eq!(meet(&pair, bytes), RecoverError::TooLittleMemory { bytes });
    assert_eq!(meet(&pair, MEMORY_MIN), RecoverError::TooMuchWork);
}

/// Another library's Double DES (pycryptodome's), as vectors/des has it.
#[test]
fn the_keys_of_published_ciphertexts_are_found() {
    let text = include_str!("../../../vectors/des/double-ecb.txt");
    let mut rng = fastrand::Rng::with_seed(9);
    let mut cases = 0;
    for case in text.split("\n\n") {
        let field = |name: &str| {
            let value = case.lines().find_map(|line| line.strip_prefix(name))?.trim();
            let byte = |i: usize| u8::from_str_radix(&value[2 * i..2 * i + 2], 16).unwrap();
            Some((0..value.len() / 2).map(byte).collect::<Vec<u8>>())
        };
        let (Some(key1), Some(key2)) = (field("key1:"), field("key2:")) else { continue };
        let (plaintext, ciphertext) = (field("pt:").unwrap(), field("expect:").unwrap());
        let pairs: Vec<_> = plaintext
            .as_chunks::<8>()
            .0
            .iter()
            .zip(ciphertext.as_chunks::<8>().0)
            .map(|(plaintext, ciphertext)| Pair { plaintext: *plaintext, ciphertext: *ciphertext })
            .collect();
        if pairs.is_empty() {
            continue;
        }
        cases += 1;
        let [key1, key2] = [key1, key2].map(|key| DesKey::new(key.try_into().unwrap()));
        let spaces = [space(&mut rng, &key1, 8), space(&mut rng, &key2, 8)];
        let found = recover::meet(&pairs, &spaces[0], &spaces[1], 1 << 17, &run(1), &mut go_on);
        let found: Vec<_> =
            done(found.unwrap()).iter().map(|(one, two)| (one.bits(), two.bits())).collect();
        assert_eq!(found, [(key1.bits(), key2.bits())], "{case}");
        let behind = recover::behind(&key1, &[pairs[0]]);
        assert_ne!(behind[0].plaintext, pairs[0].plaintext);
    }
    assert!(cases > 10, "{cases}");
}
