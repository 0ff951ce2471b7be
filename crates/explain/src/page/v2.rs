//! The calculations of a session of D-DDES/2.

use ddes_capture::{Conversation, Direction, Epoch, Frame, OpenedV2};
use ddes_cipher::Function;
use ddes_identity::Namespace;
use ddes_session::v2::noise::{HandshakeStep, SymmetricOperation};
use ddes_wire::frame::HEADER_BYTES;
use ddes_wire::v2::{GroupSize, Suite};

use super::acts::{Act, acts};
use super::card::{CARD_BYTES_MAX, Card, CardRole, Claim, Letters};
use super::cards::frame_anchor;
use super::drawn::{DrawnSecrets, drawn};
use crate::calc::{Calculation, DhGroup, KemKey};

pub(super) fn cards(conversation: &Conversation, opened: &OpenedV2, prefix: &str) -> Vec<Card> {
    let acts = acts(conversation);
    let frame_of = |act| {
        let at = acts.iter().position(|found| *found == act)?;
        conversation.frames.get(at)
    };
    let mut cards = Vec::new();
    if let (Some(suite), Some(hello), Some(answer)) =
        (opened.suite, frame_of(Act::Hello), frame_of(Act::Answer))
    {
        let drawn = of_drawn(conversation, suite);
        let ciphertext = kem_ciphertext(function(suite), &opened.steps);
        let handshake = HandshakeFrames { suite, hello, answer, drawn, ciphertext, prefix };
        cards.extend(handshake.cards(&opened.steps));
    }
    // The keys of Split are known only if the frames behind it are looked at with them.
    let Some(function) = opened.suite.map(function) else { return cards };
    if let Some(answer) = frame_of(Act::Answer) {
        cards.extend(first_keys(function, opened, answer, prefix));
    }
    let proofs = [frame_of(Act::ServerProof), frame_of(Act::ClientProof)];
    for frame in conversation.frames.iter().take(super::FRAMES_MAX) {
        cards.extend(of_record(function, opened, frame, prefix));
        if proofs.iter().flatten().any(|proof| proof.number == frame.number) {
            cards.extend(signature(opened, frame, proofs, prefix));
        }
    }
    cards
}

fn function(suite: Suite) -> Function {
    if suite.is_hybrid() { Function::DdesChaCha } else { Function::Ddes }
}

fn of_drawn(conversation: &Conversation, suite: Suite) -> Option<DrawnSecrets> {
    drawn(conversation, &ddes_ffdhe::Group::named(named(suite)))
}

fn named(suite: Suite) -> ddes_ffdhe::NamedGroup {
    match suite.group() {
        GroupSize::Bits2048 => ddes_ffdhe::NamedGroup::Ffdhe2048,
        GroupSize::Bits3072 => ddes_ffdhe::NamedGroup::Ffdhe3072,
        GroupSize::Bits4096 => ddes_ffdhe::NamedGroup::Ffdhe4096,
    }
}

/// The frames of the handshake, and what one side drew.
struct HandshakeFrames<'a> {
    suite: Suite,
    hello: &'a Frame,
    answer: &'a Frame,
    drawn: Option<DrawnSecrets>,
    /// The ML-KEM ciphertext of message 2, opened.
    ciphertext: Option<Vec<u8>>,
    prefix: &'a str,
}

impl HandshakeFrames<'_> {
    /// Each step as a calculation, with the one that gives its input before it.
    fn cards(&self, steps: &[HandshakeStep]) -> Vec<Card> {
        let mut cards = Vec::new();
        // The second e is the server's.
        let mut frame = self.hello;
        cards.extend(self.public_value());
        for (before, step) in steps.iter().zip(steps.iter().skip(1)) {
            let is_second =
                before.what == "payload" && before.operation == SymmetricOperation::MixHash;
            if is_second {
                frame = self.answer;
            }
            cards.extend(self.step(before, step, frame));
        }
        cards
    }

    fn card(
        &self,
        frame: &Frame,
        name: &str,
        title: impl Into<String>,
        why: &str,
        calculation: Calculation,
    ) -> Card {
        Card {
            anchor: format!("{}.calc-{name}", frame_anchor(self.prefix, frame.number)),
            title: title.into(),
            after: frame.number,
            role: CardRole::Both,
            why: why.to_owned(),
            calculation,
            letters: None,
            claim: None,
            is_open: false,
        }
    }

    /// What a step of this name mixes in: `e` of the client, of the server.
    fn mixed(&self, what: &str, frame: &Frame) -> String {
        let (side, message) =
            if frame.number == self.hello.number { ("client", 1) } else { ("server", 2) };
        match what {
            "e" => format!("the {side}’s public value"),
            "e1" => format!("the {side}’s ML-KEM key"),
            "ekem1" => "the ML-KEM ciphertext, sealed".to_owned(),
            "payload" => format!("the payload of message {message}"),
            other => format!("{other} of message {message}"),
        }
    }

    fn step(&self, before: &HandshakeStep, step: &HandshakeStep, frame: &Frame) -> Vec<Card> {
        let input = step.input.to_vec();
        let mix_hash = |why| {
            let data = step.input.to_vec();
            let calculation = Calculation::MixHash { h: before.hash.to_vec(), data };
            let title = format!("MixHash: {}", self.mixed(step.what, frame));
            self.card(frame, &format!("hash-{}", step.what), title, why, calculation)
        };
        match step.operation {
            SymmetricOperation::InitializeSymmetric => Vec::new(),
            SymmetricOperation::MixHash if step.what == "prologue" => {
                let calculation =
                    Calculation::NoiseStart { name: before.input.to_vec(), prologue: input };
                let why = "Both sides start from the name of everything they will do, and from \
                           version and suite: other words would give another hash.";
                let title = "Start of the handshake hash";
                vec![self.card(frame, "start", title, why, calculation)]
            }
            SymmetricOperation::MixHash => vec![mix_hash(of_hash(step.what))],
            SymmetricOperation::MixKey => {
                let ck = before.chaining_key.to_vec();
                let why = "The secret goes into the chaining key; k encrypts what comes next.";
                let name = format!("key-{}", step.what);
                let title = format!("MixKey: the secret of step {}", step.what);
                let mix = self.card(frame, &name, title, why, Calculation::MixKey { ck, input });
                let source = match step.what {
                    "ee" => self.shared_value(),
                    _ => self.kem(step),
                };
                source.into_iter().chain([mix]).collect()
            }
            SymmetricOperation::SealAndHash => {
                let open = before.key.as_ref().map(|key| {
                    let calculation = Calculation::Open {
                        function: function(self.suite),
                        key: key.to_vec(),
                        n: 0,
                        ad: before.hash.to_vec(),
                        input,
                    };
                    let why = "The associated data is the hash of everything so far: a middleman’s \
                               would differ, and the tag with it.";
                    let name = format!("open-{}", step.what);
                    let title = match step.what {
                        "ekem1" => "Opening the ML-KEM ciphertext".to_owned(),
                        what => format!("Opening {}", self.mixed(what, frame)),
                    };
                    self.card(frame, &name, title, why, calculation)
                });
                let stream = open.as_ref().and_then(keystream);
                let hash = mix_hash("The sealed bytes go into the hash.");
                open.into_iter().chain(stream).chain([hash]).collect()
            }
            SymmetricOperation::Split => {
                let calculation = Calculation::NoiseSplit { ck: before.chaining_key.to_vec() };
                let why =
                    "One key for each direction: what is sent back to its sender does not open.";
                let title = "Split: the keys of the two directions";
                vec![Card { is_open: true, ..self.card(frame, "split", title, why, calculation) }]
            }
        }
    }

    fn public_value(&self) -> Option<Card> {
        let drawn = self.drawn.as_ref()?;
        let (frame, field, side, letter) = match drawn.side {
            Direction::ToServer => (self.hello, "client_value", "client", 'x'),
            Direction::ToClient => (self.answer, "server_value", "server", 'y'),
        };
        let calculation = Calculation::Dh {
            group: DhGroup::Named(named(self.suite)),
            private: drawn.exponent.clone(),
            peer: None,
        };
        let why = format!(
            "The exponent {letter}, used for this handshake alone, makes the public value."
        );
        Some(Card {
            role: CardRole::sender(drawn.side),
            claim: Some(Claim {
                place: format!("the public value in frame {}", frame.number),
                anchor: format!("{}.{field}", frame_anchor(self.prefix, frame.number)),
                bytes: frame.field_bytes(field)?.to_vec(),
            }),
            letters: Some(Letters::public(drawn.side)),
            is_open: true,
            ..self.card(frame, "public", format!("Public value of the {side}"), &why, calculation)
        })
    }

    fn shared_value(&self) -> Option<Card> {
        let drawn = self.drawn.as_ref()?;
        let (frame, field) = match drawn.side {
            Direction::ToServer => (self.answer, "server_value"),
            Direction::ToClient => (self.hello, "client_value"),
        };
        let calculation = Calculation::Dh {
            group: DhGroup::Named(named(self.suite)),
            private: drawn.exponent.clone(),
            peer: Some(frame.field_bytes(field)?.to_vec()),
        };
        let (own, other) = match drawn.side {
            Direction::ToServer => ("client", "server"),
            Direction::ToClient => ("server", "client"),
        };
        let why = format!(
            "Step ee: the {other}’s public value is raised to the power of the {own}’s exponent."
        );
        Some(Card {
            letters: Some(Letters::shared(drawn.side)),
            is_open: true,
            ..self.card(self.answer, "shared", "Shared value", &why, calculation)
        })
    }

    /// The secret of step ekem1, by what one side drew.
    fn kem(&self, step: &HandshakeStep) -> Option<Card> {
        let drawn = self.drawn.as_ref()?;
        let randomness = drawn.kem.as_ref()?;
        let calculation = match drawn.side {
            Direction::ToServer => {
                let ciphertext = self.ciphertext.clone()?;
                Calculation::KemDecapsulate { key: KemKey::Seed(randomness.clone()), ciphertext }
            }
            Direction::ToClient => Calculation::KemEncapsulate {
                ek: self.hello.field_bytes("kem_key")?.to_vec(),
                m: randomness.get(..32)?.to_vec(),
            },
        };
        let why = "The second secret, by lattices and not by exponents: whoever breaks one of the \
                   two has nothing yet.";
        let claim = Claim {
            place: "the input of the next step".to_owned(),
            anchor: format!("{}.calc-key-ekem1", frame_anchor(self.prefix, self.answer.number)),
            bytes: step.input.to_vec(),
        };
        Some(Card {
            claim: Some(claim),
            is_open: true,
            ..self.card(self.answer, "kem", "The ML-KEM secret", why, calculation)
        })
    }
}

/// What step ekem1 sealed: the step itself holds the secret only.
fn kem_ciphertext(function: Function, steps: &[HandshakeStep]) -> Option<Vec<u8>> {
    let is_sealed = |step: &HandshakeStep| {
        step.what == "ekem1" && step.operation == SymmetricOperation::SealAndHash
    };
    let at = steps.iter().position(is_sealed)?;
    let before = steps.get(at.checked_sub(1)?)?;
    let open = Calculation::Open {
        function,
        key: before.key.as_ref()?.to_vec(),
        n: 0,
        ad: before.hash.to_vec(),
        input: steps.get(at)?.input.to_vec(),
    };
    let opened = open.work().ok()?;
    opened.results.first()?.value.bytes().map(<[u8]>::to_vec)
}

/// What a MixHash is for.
fn of_hash(what: &str) -> &'static str {
    match what {
        "e" => "The ephemeral value, as it was on the wire.",
        "e1" => "The ML-KEM key, as it was on the wire.",
        "payload" => "The message’s payload, which is empty.",
        _ => "As it was on the wire.",
    }
}

fn first_keys(function: Function, opened: &OpenedV2, answer: &Frame, prefix: &str) -> Vec<Card> {
    let directions = [("to-server", &opened.to_server), ("to-client", &opened.to_client)];
    directions
        .into_iter()
        .filter_map(|(name, epochs)| {
            let key = epochs.first()?.key.to_vec();
            let words = name.replace('-', " the ");
            Some(Card {
                anchor: format!("{}.calc-keys-{name}", frame_anchor(prefix, answer.number)),
                title: format!("Keys of the records {words}"),
                after: answer.number,
                role: CardRole::Both,
                why: format!("Separate keys for separate jobs, {words}: nothing is used twice."),
                calculation: Calculation::Keys { function, key },
                letters: None,
                claim: None,
                is_open: true,
            })
        })
        .collect()
}

fn of_record(function: Function, opened: &OpenedV2, frame: &Frame, prefix: &str) -> Vec<Card> {
    let Some((plain, n)) = frame.plain.as_ref().and_then(|plain| Some((plain, plain.record?)))
    else {
        return Vec::new();
    };
    let epochs = match frame.direction {
        Direction::ToServer => &opened.to_server,
        Direction::ToClient => &opened.to_client,
    };
    let Some(epoch) = epochs.get(plain.epoch) else { return Vec::new() };
    let anchor = frame_anchor(prefix, frame.number);
    let mut cards = Vec::new();
    if epoch.first_record == n {
        cards.extend(rekeyed(epochs, plain.epoch, frame, &anchor));
    }
    let (Some((header, body)), true) =
        (frame.bytes.split_at_checked(HEADER_BYTES), frame.bytes.len() <= CARD_BYTES_MAX)
    else {
        return cards;
    };
    let way = way(frame.direction);
    let open = Card {
        anchor: format!("{anchor}.calc-open"),
        title: format!("Opening frame {}, record {n} {way}", frame.number),
        after: frame.number,
        role: CardRole::receiver(frame.direction),
        why: format!(
            "Record {n} of its direction. The number is on no wire: a record that is replayed, \
             dropped or moved meets another one, and does not open."
        ),
        calculation: Calculation::Open {
            function,
            key: epoch.key.to_vec(),
            n,
            ad: header.to_vec(),
            input: body.to_vec(),
        },
        letters: None,
        claim: Some(Claim {
            place: format!("the inside of frame {}", frame.number),
            anchor: format!("{anchor}.inside"),
            bytes: plain.bytes.clone(),
        }),
        is_open: frame.opcode == 30,
    };
    let stream = keystream(&open);
    cards.extend([open].into_iter().chain(stream));
    cards
}

fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::ToServer => "to the server",
        Direction::ToClient => "to the client",
    }
}

/// The two passes of DES that make the keystream of what a card opens; `None` where only a tag is
/// sealed.
fn keystream(open: &Card) -> Option<Card> {
    let Calculation::Open { function, n, .. } = &open.calculation else { return None };
    let worked = open.calculation.work().ok()?;
    let found = |name: &str| {
        let step = worked.steps.iter().find(|step| step.name == name)?;
        step.chain.first()?.value.bytes().map(<[u8]>::to_vec)
    };
    let stream = found("DDES-CTR").filter(|stream| !stream.is_empty())?;
    let calculation = Calculation::Counter {
        key1: found("Key1")?,
        key2: found("Key2")?,
        n: *n,
        length: stream.len(),
    };
    let also = match function {
        Function::Ddes => "",
        Function::DdesChaCha => ", and with ChaCha20’s keystream",
    };
    Some(Card {
        anchor: format!("{}-stream", open.anchor),
        title: open.title.replacen("Opening", "Keystream of DES for", 1),
        why: format!(
            "Each block holds two numbers: n, and its own. One pass of DES under Key1 and one \
             under Key2 make 8 bytes of keystream from it. The ciphertext is XORed with them{also}."
        ),
        calculation,
        claim: Some(Claim {
            place: "DDES-CTR in the card before".to_owned(),
            anchor: open.anchor.clone(),
            bytes: stream,
        }),
        ..open.clone()
    })
}

fn rekeyed(epochs: &[Epoch], at: usize, frame: &Frame, anchor: &str) -> Option<Card> {
    let before = epochs.get(at.checked_sub(1)?)?;
    let now = epochs.get(at)?;
    Some(Card {
        anchor: format!("{anchor}.calc-rekey"),
        title: format!("New key {}, before frame {}", way(frame.direction), frame.number),
        after: frame.number,
        role: CardRole::Both,
        why:
            "The record before brought the blocks under the old key to 2^20. Both sides change it, \
              and no message says so."
                .to_owned(),
        calculation: Calculation::Rekey { key: before.key.to_vec() },
        letters: None,
        claim: Some(Claim {
            place: "the key that opens this record".to_owned(),
            anchor: format!("{anchor}.calc-open"),
            bytes: now.key.to_vec(),
        }),
        is_open: true,
    })
}

/// `[server proof, client proof]`: message 4 signs the server's key too.
fn signature(
    opened: &OpenedV2,
    frame: &Frame,
    proofs: [Option<&Frame>; 2],
    prefix: &str,
) -> Option<Card> {
    let plain = frame.plain.as_ref()?;
    let server_key = proofs[0]?.plain.as_ref()?.field_bytes("server_key")?;
    let mut message = opened.hash?.to_vec();
    message.extend_from_slice(server_key);
    let (namespace, public, role) = match frame.direction {
        Direction::ToClient => (Namespace::Server, server_key, CardRole::Client),
        Direction::ToServer => {
            let client_key = plain.field_bytes("client_key")?;
            message.extend_from_slice(client_key);
            (Namespace::Client, client_key, CardRole::Server)
        }
    };
    Some(Card {
        anchor: format!("{}.calc-signature", frame_anchor(prefix, frame.number)),
        title: match frame.direction {
            Direction::ToServer => "Signature of the client".to_owned(),
            Direction::ToClient => "Signature of the server".to_owned(),
        },
        after: frame.number,
        role,
        why: "What is signed is the hash of the handshake. A middleman has a handshake with each \
              side, and each has another hash."
            .to_owned(),
        calculation: Calculation::SshSig {
            namespace,
            public: public.to_vec(),
            message,
            signature: plain.field_bytes("signature")?.to_vec(),
        },
        letters: None,
        claim: None,
        is_open: true,
    })
}
