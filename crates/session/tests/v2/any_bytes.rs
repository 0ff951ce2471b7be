//! P-08, P-17, P-18, P-25, P-26: whatever comes, in whatever order and pieces, no side panics and
//! nothing counts that the client did not send.
//!
//! Each run is one seed: honest frames, of which some are changed, cut, doubled, swapped, mixed
//! with noise or delayed.

use std::time::Duration;

use ddes_session::Phase;

use crate::world::{CONFIG, Client, Server, Session, hello, identity};

/// xorshift64* (Marsaglia; Vigna): a source of variety, not of randomness.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn noise(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most);
        (0..length).map(|_| self.below(256) as u8).collect()
    }

    /// `frame`, or something like it.
    fn spoil(&mut self, mut frame: Vec<u8>) -> Vec<u8> {
        let at = self.below(frame.len());
        match self.below(8) {
            0 => frame[at] ^= 1 << self.below(8),
            1 => frame.truncate(at),
            2 => frame.extend_from_within(..at),
            3 => {
                let noise = self.noise(20);
                frame.splice(at..at, noise);
            }
            4 => frame = self.noise(200),
            // Left whole: what follows meets a session that lives.
            _ => {}
        }
        frame
    }
}

fn give_in_pieces(dice: &mut Dice, bytes: &[u8], mut give: impl FnMut(&[u8])) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(1 + dice.below(rest.len()));
        give(piece);
        rest = after;
    }
}

#[test]
fn a_server_counts_a_prefix_of_what_was_sent_and_ends_once() {
    let (mut counted, mut ended) = (0, 0);
    for seed in 1..=400 {
        let mut dice = Dice::new(seed);
        let mut server = Server::new();
        if dice.below(8) == 0 {
            let first = dice.spoil(hello(CONFIG.suite).1);
            give_in_pieces(&mut dice, &first, |piece| server.give(piece));
        } else {
            let mut client = Client::join(&mut server, 3);
            for seq in 1..=20_u64 {
                let frame = client.data(seq, &[1 << seq.min(60)]);
                let frame = if dice.below(4) == 0 { dice.spoil(frame) } else { frame };
                give_in_pieces(&mut dice, &frame, |piece| server.give(piece));
                server.pass(Duration::from_millis(dice.below(5_000) as u64));
            }
            // The values are powers of two: the sum says exactly which were counted.
            let account = ddes_ledger::AccountId::Identity(*identity(3).public().as_bytes());
            let standing = server.ledger.standing(&account).unwrap();
            let sum: i128 = (1..=standing.last_seq.get()).map(|seq| 1 << seq.min(60)).sum();
            assert_eq!(
                (standing.sum.get(), standing.last_seq.get()),
                (sum, server.counted),
                "seed {seed}"
            );
            counted += server.counted;
        }
        server.close();
        server.pass(Duration::from_secs(20));
        assert_eq!(server.session.phase(), Phase::Done, "seed {seed}");
        ended += u64::from(server.end.is_some());
    }
    assert!(ended == 400 && counted > 400, "{ended} ended, {counted} values counted");
}

#[test]
fn a_client_opens_a_session_with_the_true_server_or_ends() {
    let mut opened = 0;
    for seed in 1..=200 {
        let mut dice = Dice::new(seed);
        let (mut client, mut server) = (Session::new(CONFIG), Server::new());
        let mut proven = false;
        for _ in 0..4 {
            let out = client.take();
            server.give(&out);
            let back = server.take_bytes();
            if back.is_empty() {
                break;
            }
            let back = dice.spoil(back);
            give_in_pieces(&mut dice, &back, |piece| client.give(piece));
            if !proven && client.session.claim(&identity(3).public()).is_some() {
                client.prove(&identity(3));
                proven = true;
            }
        }
        opened += u64::from(client.events.iter().any(|event| {
            matches!(event, ddes_session::v2::ClientEvent::Ready(welcome) if welcome.standing.last_seq.get() == 0)
        }));
        client.session.handle_eof(client.now);
        client.give(&[]);
        client.pass(Duration::from_secs(60));
        assert_eq!(client.session.phase(), Phase::Done, "seed {seed}");
    }
    assert!((10..200).contains(&opened), "{opened} of 200 opened");
}
