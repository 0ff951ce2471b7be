//! The calculations of a classic session.

use ddes_capture::{Conversation, Direction, Frame, OpenedClassic};
use ddes_ffdhe::Group;

use super::acts::{Act, acts};
use super::card::{CARD_BYTES_MAX, Card, CardRole, Claim, Letters};
use super::cards::frame_anchor;
use super::drawn::drawn;
use crate::calc::{Calculation, DhGroup, HkdfExpansion};

pub(super) fn cards(
    conversation: &Conversation,
    opened: &OpenedClassic,
    prefix: &str,
) -> Vec<Card> {
    let acts = acts(conversation);
    let frame_of = |act| {
        let at = acts.iter().position(|found| *found == act)?;
        conversation.frames.get(at)
    };
    let mut cards = Vec::new();
    if let (Some(server), Some(client)) = (frame_of(Act::ServerKey), frame_of(Act::ClientKey)) {
        cards.extend(exchange(conversation, server, client, prefix).into_iter().flatten());
        cards.extend(keys(opened, client, prefix));
    }
    for (frame, act) in conversation.frames.iter().zip(&acts).take(super::FRAMES_MAX) {
        if frame.bytes.len() <= CARD_BYTES_MAX {
            cards.extend(of_frame(frame, *act, opened, prefix));
        }
    }
    cards
}

/// g^x mod p of the side whose exponent is known, and the shared value.
fn exchange(
    conversation: &Conversation,
    server: &Frame,
    client: &Frame,
    prefix: &str,
) -> Option<[Card; 2]> {
    let (server_key, client_key) = (server.der.as_ref()?, client.der.as_ref()?);
    let (p, g) = (server_key.field_bytes("prime")?, server_key.field_bytes("generator")?);
    let group = DhGroup::of(p, g);
    let drawn = drawn(conversation, &Group::received(p, g).ok()?)?;
    let (own, own_key, peer_key, name, letter) = match drawn.side {
        Direction::ToServer => (client, client_key, server_key, "client", 'x'),
        Direction::ToClient => (server, server_key, client_key, "server", 'y'),
    };
    let anchor = frame_anchor(prefix, own.number);
    let public = Card {
        anchor: format!("{anchor}.calc-public"),
        title: format!("Public value of the {name}"),
        after: own.number,
        role: CardRole::sender(drawn.side),
        why: format!("The secret exponent {letter} makes the public value that the frame carries."),
        calculation: Calculation::Dh {
            group: group.clone(),
            private: drawn.exponent.clone(),
            peer: None,
        },
        letters: Some(Letters::public(drawn.side)),
        claim: Some(Claim {
            place: format!("the public value in frame {}", own.number),
            anchor: format!("{anchor}.der.public"),
            bytes: padded(own_key.field_bytes("public")?, p),
        }),
        is_open: true,
    };
    let shared = Card {
        anchor: format!("{}.calc-shared", frame_anchor(prefix, client.number)),
        title: "Shared value".to_owned(),
        after: client.number,
        role: CardRole::Both,
        why: format!(
            "The public value of the other side is raised to the power of {letter}. The other side \
             raises the other public value to the power of its exponent: the result is the same."
        ),
        calculation: Calculation::Dh {
            group,
            private: drawn.exponent,
            peer: Some(peer_key.field_bytes("public")?.to_vec()),
        },
        letters: Some(Letters::shared(drawn.side)),
        claim: None,
        is_open: true,
    };
    Some([public, shared])
}

/// As long as p: DER leaves out leading zeros, and may add one.
fn padded(value: &[u8], p: &[u8]) -> Vec<u8> {
    let trimmed = |bytes: &[u8]| bytes.iter().skip_while(|byte| **byte == 0).copied().collect();
    let (value, p): (Vec<u8>, Vec<u8>) = (trimmed(value), trimmed(p));
    let mut whole = vec![0; p.len().saturating_sub(value.len())];
    whole.extend(value);
    whole
}

fn keys(opened: &OpenedClassic, client: &Frame, prefix: &str) -> Option<Card> {
    let ikm = opened.shared.as_ref()?.to_vec();
    let expand = Some(HkdfExpansion { info: b"handshake data".to_vec(), length: 16 });
    Some(Card {
        anchor: format!("{}.calc-keys", frame_anchor(prefix, client.number)),
        title: "Key1 and Key2".to_owned(),
        after: client.number,
        role: CardRole::Both,
        why: "The first 8 bytes are Key1, the last 8 are Key2. There is no salt. Only the shared \
              value g^(xy) goes in; the two public values do not."
            .to_owned(),
        calculation: Calculation::Hkdf { salt: None, ikm, expand },
        letters: None,
        claim: None,
        is_open: true,
    })
}

fn of_frame(frame: &Frame, act: Act, opened: &OpenedClassic, prefix: &str) -> Vec<Card> {
    let anchor = frame_anchor(prefix, frame.number);
    let (key1, key2) = (opened.key1.to_vec(), opened.key2.to_vec());
    let receiver = CardRole::receiver(frame.direction);
    let Some(ciphertext) = frame.field_bytes("ciphertext") else { return Vec::new() };
    let ddes = |key2: Vec<u8>, why: &str| Card {
        anchor: format!("{anchor}.calc-ddes"),
        title: format!("Decryption of frame {}", frame.number),
        after: frame.number,
        role: receiver,
        why: why.to_owned(),
        calculation: Calculation::Ddes {
            key1: key1.clone(),
            key2,
            input: ciphertext.to_vec(),
            decrypt: true,
            pad: true,
        },
        letters: None,
        claim: None,
        is_open: true,
    };
    match act {
        Act::Token => vec![ddes(
            key1.clone(),
            "Both passes use Key1. The last block decrypts to 08 eight times, in every session: it \
             is padding alone.",
        )],
        Act::Integer => {
            let mut cards: Vec<Card> = hmac(frame, &key2, receiver, &anchor).into_iter().collect();
            cards.push(ddes(
                key2,
                "Block 0 is the integer, blocks 1 and 2 are the client’s UUID, block 3 is padding. \
                 Each is encrypted by itself.",
            ));
            cards
        }
        Act::Result => {
            let mut cards: Vec<Card> = hmac(frame, &key2, receiver, &anchor).into_iter().collect();
            cards.push(ddes(key2, "The sum in decimal digits, and padding."));
            cards
        }
        Act::ServerKey
        | Act::ClientKey
        | Act::Received
        | Act::ClientEnd
        | Act::ServerEnd
        | Act::Hello
        | Act::Answer
        | Act::ServerProof
        | Act::ClientProof
        | Act::Welcome
        | Act::Data
        | Act::Outcome
        | Act::Farewell
        | Act::Rejection
        | Act::Unknown => Vec::new(),
    }
}

/// Over the body before it.
fn hmac(frame: &Frame, key2: &[u8], role: CardRole, anchor: &str) -> Option<Card> {
    let field = frame.field("hmac")?;
    let covered = frame.bytes.get(ddes_wire::frame::HEADER_BYTES..field.range.start)?;
    Some(Card {
        anchor: format!("{anchor}.calc-hmac"),
        title: format!("HMAC of frame {}", frame.number),
        after: frame.number,
        role,
        why: "Key2 again, now as the key of the HMAC. It covers the body before it; the header is \
              covered by nothing."
            .to_owned(),
        calculation: Calculation::Hmac { key: key2.to_vec(), input: covered.to_vec() },
        letters: None,
        claim: Some(Claim {
            place: format!("the HMAC in frame {}", frame.number),
            anchor: format!("{anchor}.hmac"),
            bytes: frame.bytes.get(field.range.clone())?.to_vec(),
        }),
        is_open: true,
    })
}
