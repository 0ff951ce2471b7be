//! `ddes calc`: what the protocol computes, worked out on given bytes.

pub(crate) mod args;
mod given;
mod show;

use ddes_explain::{CalcError, Calculation, DhGroup, HkdfExpansion, KemKey};
use ddes_wire::classic::DhPublicKey;

use crate::args::OutputArgs;
use crate::failure::{Code, Failure};
use crate::screen::Screen;
use crate::streams;

use args::{CalcCommand, CalcOutput, DhArgs, HkdfArgs, KemCommand, NoiseCommand, RecordArgs};
use given::{Given, Reader};

pub(crate) fn run(command: &CalcCommand) -> Result<(), Failure> {
    let calculation = read(command)?;
    let output = command.output();
    let worked = calculation.work().map_err(|error| of_calc(command, &error))?;
    if output.python {
        let line = format!("{}\n", calculation.python().command());
        return streams::to_stdout(&line).map_err(|error| Failure::output(&error));
    }
    let OutputArgs { quiet, .. } = output.output;
    if quiet && !output.output.json {
        let results = worked.results.iter().map(|result| result.value.plain() + "\n");
        let text: String = results.collect();
        return streams::to_stdout(&text).map_err(|error| Failure::output(&error));
    }
    Screen::of(&output.output).show(&show::line(&calculation, &worked))
}

/// The calculation that a command line asks for, its inputs read.
fn read(command: &CalcCommand) -> Result<Calculation, Failure> {
    let mut reader = Reader::default();
    let mut bytes = |given: &Given| reader.read(given);
    Ok(match command {
        CalcCommand::Dh(args) => dh(args, &mut bytes)?,
        CalcCommand::Hkdf(args) => hkdf(args, &mut bytes)?,
        CalcCommand::Hmac { key, input, .. } => {
            Calculation::Hmac { key: bytes(key)?, input: bytes(input)? }
        }
        CalcCommand::Des { key, ecb, rounds, .. } => Calculation::Des {
            key: bytes(key)?,
            input: bytes(&ecb.input)?,
            decrypt: ecb.decrypt,
            pad: ecb.pad,
            rounds: *rounds,
        },
        CalcCommand::Ddes { keys, ecb, .. } => Calculation::Ddes {
            key1: bytes(&keys.key1)?,
            key2: bytes(&keys.key2)?,
            input: bytes(&ecb.input)?,
            decrypt: ecb.decrypt,
            pad: ecb.pad,
        },
        CalcCommand::Counter { keys, n, length, .. } => Calculation::Counter {
            key1: bytes(&keys.key1)?,
            key2: bytes(&keys.key2)?,
            n: *n,
            length: *length,
        },
        CalcCommand::KeyPair { keys, .. } => {
            Calculation::KeyPair { key1: bytes(&keys.key1)?, key2: bytes(&keys.key2)? }
        }
        CalcCommand::Keys { function, key, .. } => {
            Calculation::Keys { function: (*function).into(), key: bytes(key)? }
        }
        CalcCommand::Seal(RecordArgs { function, key, n, ad, input, .. }) => Calculation::Seal {
            function: (*function).into(),
            key: bytes(key)?,
            n: *n,
            ad: bytes(ad)?,
            input: bytes(input)?,
        },
        CalcCommand::Open(RecordArgs { function, key, n, ad, input, .. }) => Calculation::Open {
            function: (*function).into(),
            key: bytes(key)?,
            n: *n,
            ad: bytes(ad)?,
            input: bytes(input)?,
        },
        CalcCommand::Rekey { key, .. } => Calculation::Rekey { key: bytes(key)? },
        CalcCommand::Noise(command) => noise(command, &mut bytes)?,
        CalcCommand::MlKem(command) => kem(command, &mut bytes)?,
        CalcCommand::Ed25519 { signed, .. } => Calculation::Ed25519 {
            public: bytes(&signed.public)?,
            message: bytes(&signed.message)?,
            signature: bytes(&signed.signature)?,
        },
        CalcCommand::Sshsig { namespace, signed, .. } => Calculation::SshSig {
            namespace: (*namespace).into(),
            public: bytes(&signed.public)?,
            message: bytes(&signed.message)?,
            signature: bytes(&signed.signature)?,
        },
    })
}

/// Reads the bytes of an argument.
type Read<'a> = &'a mut dyn FnMut(&Given) -> Result<Vec<u8>, Failure>;

fn dh(args: &DhArgs, bytes: Read<'_>) -> Result<Calculation, Failure> {
    let mut peer = args.peer.as_ref().map(&mut *bytes).transpose()?;
    let group = match (&args.group, &args.pem, &args.p, &args.g) {
        (Some(name), ..) => DhGroup::Named((*name).into()),
        (None, Some(pem), ..) => {
            let key = pem_key(&bytes(pem)?)?;
            // The value in it is the peer's, unless another is given.
            peer = Some(peer.unwrap_or(key.public));
            DhGroup::of(&key.prime, &key.generator)
        }
        (None, None, Some(p), Some(g)) => DhGroup::Given { p: bytes(p)?, g: bytes(g)? },
        (None, None, ..) => {
            return Err(Failure::new(Code::Usage, "no group was given")
                .next("--group ffdhe2048, or --p and --g, or --pem FILE"));
        }
    };
    Ok(Calculation::Dh { group, private: bytes(&args.private)?, peer })
}

fn pem_key(text: &[u8]) -> Result<DhPublicKey, Failure> {
    DhPublicKey::from_pem(text).map_err(|error| {
        Failure::new(Code::Usage, format!("--pem: {error}"))
            .cause("it takes the body of a classic opcode 10: -----BEGIN PUBLIC KEY-----")
    })
}

fn hkdf(args: &HkdfArgs, bytes: Read<'_>) -> Result<Calculation, Failure> {
    let info = args.info.as_ref().map(&mut *bytes).transpose()?;
    let expand = args.length.map(|length| HkdfExpansion {
        // RFC 5869: without an info it is a string of zero length.
        info: info.unwrap_or_else(Vec::new),
        length,
    });
    if let Some(ikm) = &args.ikm {
        let salt = args.salt.as_ref().map(&mut *bytes).transpose()?;
        return Ok(Calculation::Hkdf { salt, ikm: bytes(ikm)?, expand });
    }
    match (&args.prk, expand) {
        (Some(prk), Some(expand)) => Ok(Calculation::HkdfExpand { prk: bytes(prk)?, expand }),
        (Some(_), None) => {
            Err(Failure::new(Code::Usage, "--prk needs --length: how many bytes to expand to")
                .next("--length 16"))
        }
        (None, _) => Err(Failure::new(Code::Usage, "neither --ikm nor --prk was given")
            .next("--ikm extracts, and expands with --length; --prk expands alone")),
    }
}

fn noise(command: &NoiseCommand, bytes: Read<'_>) -> Result<Calculation, Failure> {
    Ok(match command {
        NoiseCommand::Start { name, prologue, .. } => {
            Calculation::NoiseStart { name: bytes(name)?, prologue: bytes(prologue)? }
        }
        NoiseCommand::MixHash { h, data, .. } => {
            Calculation::MixHash { h: bytes(h)?, data: bytes(data)? }
        }
        NoiseCommand::MixKey { ck, input, .. } => {
            Calculation::MixKey { ck: bytes(ck)?, input: bytes(input)? }
        }
        NoiseCommand::Split { ck, .. } => Calculation::NoiseSplit { ck: bytes(ck)? },
    })
}

fn kem(command: &KemCommand, bytes: Read<'_>) -> Result<Calculation, Failure> {
    Ok(match command {
        KemCommand::Keygen { seed, .. } => Calculation::KemGenerate { seed: bytes(seed)? },
        KemCommand::Encapsulate { ek, m, .. } => {
            Calculation::KemEncapsulate { ek: bytes(ek)?, m: bytes(m)? }
        }
        KemCommand::Decapsulate { seed, dk, ciphertext, .. } => {
            let key = match (seed, dk) {
                (Some(seed), _) => KemKey::Seed(bytes(seed)?),
                (None, Some(dk)) => KemKey::Whole(bytes(dk)?),
                (None, None) => {
                    return Err(Failure::new(Code::Usage, "neither --seed nor --dk was given")
                        .next("--seed with d || z, 64 bytes, or --dk with the whole key"));
                }
            };
            Calculation::KemDecapsulate { key, ciphertext: bytes(ciphertext)? }
        }
    })
}

fn of_calc(command: &CalcCommand, error: &CalcError) -> Failure {
    let code = if error.is_integrity() { Code::Integrity } else { Code::Usage };
    let failure = |what: String| Failure::new(code, what);
    match error {
        CalcError::Length { name, length, expected } => {
            failure(format!("{name} has {}; it takes {expected}", counted(*length)))
                .next("two hexadecimal digits a byte; --help has examples")
        }
        CalcError::Blocks { length } => {
            let are = if *length == 1 { "is no whole block" } else { "are no whole blocks" };
            let failure = failure(format!("{} {are} of 8 bytes", counted(*length)));
            if let CalcCommand::Des { ecb, .. } | CalcCommand::Ddes { ecb, .. } = command
                && ecb.decrypt
            {
                return failure.cause("a ciphertext has whole blocks").next("--in with all of it");
            }
            failure.next("--pad adds PKCS#7 padding")
        }
        CalcError::Rounds { most, .. } => failure(error.to_string())
            .next(format!("give the first {} bytes, or leave out --rounds", 8 * most)),
        CalcError::Exponent => failure(error.to_string())
            .cause("0 and p-1 give 1 for each g, and a larger x gives what a smaller one gives")
            .next("take another exponent for --private"),
        CalcError::Public => failure(error.to_string())
            .cause("x is a multiple of the order of g, or of half of it")
            .next("take another exponent for --private"),
        CalcError::KemHash => failure(error.to_string())
            .cause("the key was changed, or put together of two (FIPS 203, 7.3)")
            .next("ddes calc ml-kem keygen shows the dk of a seed; --seed takes the seed itself"),
        CalcError::Padding => {
            failure(error.to_string()).cause("another key, or no padding: leave out --pad")
        }
        CalcError::Modulus | CalcError::Range { .. } => {
            failure(error.to_string()).cause("numbers are hexadecimal: 17 is 23, and 10 is 16")
        }
        CalcError::Degenerate
        | CalcError::Limit(_)
        | CalcError::Tag
        | CalcError::Kem(_)
        | CalcError::PublicKey(_)
        | CalcError::Signature => failure(error.to_string()),
    }
}

fn counted(bytes: usize) -> String {
    if bytes == 1 { "1 byte".to_owned() } else { format!("{bytes} bytes") }
}

impl CalcCommand {
    /// Whether programs read the output.
    pub(crate) fn is_json(&self) -> bool {
        self.output().output.json
    }

    fn output(&self) -> &CalcOutput {
        match self {
            Self::Dh(args) => &args.output,
            Self::Hkdf(args) => &args.output,
            Self::Seal(args) | Self::Open(args) => &args.output,
            Self::Hmac { output, .. }
            | Self::Des { output, .. }
            | Self::Ddes { output, .. }
            | Self::Counter { output, .. }
            | Self::KeyPair { output, .. }
            | Self::Keys { output, .. }
            | Self::Rekey { output, .. }
            | Self::Ed25519 { output, .. }
            | Self::Sshsig { output, .. } => output,
            Self::Noise(
                NoiseCommand::Start { output, .. }
                | NoiseCommand::MixHash { output, .. }
                | NoiseCommand::MixKey { output, .. }
                | NoiseCommand::Split { output, .. },
            ) => output,
            Self::MlKem(
                KemCommand::Keygen { output, .. }
                | KemCommand::Encapsulate { output, .. }
                | KemCommand::Decapsulate { output, .. },
            ) => output,
        }
    }
}
