//! `ddes version`: which build this is, and which engines it takes on this processor.

use ddes_cipher::Engine;
use ddes_ffdhe::{EngineKind, Group, NamedGroup};

use crate::args::VersionArgs;
use crate::failure::Failure;
use crate::screen::{Line, Screen};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Empty where the sources did not say it: crates/cli/build.rs.
const COMMIT: &str = env!("DDES_BUILD_COMMIT");
const TARGET: &str = env!("DDES_BUILD_TARGET");
const RUSTC: &str = env!("DDES_BUILD_RUSTC");

pub(crate) fn run(args: &VersionArgs) -> Result<(), Failure> {
    let (cipher, exponentiation) = (Engine::best(usize::MAX), exponentiation());
    let commit = (!COMMIT.is_empty()).then_some(COMMIT);
    let text = match args.output.quiet {
        true => VERSION.to_owned(),
        false => format!(
            "ddes {VERSION}\n\
             commit          {}\n\
             target          {TARGET}\n\
             rustc           {RUSTC}\n\
             features        {}\n\
             Double DES      {}, lanes of {} bits\n\
             Diffie-Hellman  {}",
            commit.unwrap_or("unknown"),
            features().join(", "),
            cipher_name(cipher),
            cipher.blocks(),
            exponentiation_name(exponentiation),
        ),
    };
    let line = Line::new("version", text)
        .with("version", VERSION)
        .with("commit", commit)
        .with("target", TARGET)
        .with("rustc", RUSTC)
        .with("features", features())
        .with("cipher_engine", cipher_name(cipher))
        // One block of each lane's bit.
        .with("cipher_lane_bits", cipher.blocks())
        .with("exponentiation_engine", exponentiation_name(exponentiation));
    Screen::of(&args.output).show(&line)
}

/// What one build has and another one lacks.
fn features() -> Vec<&'static str> {
    let all = [
        // Nothing of the machine's libraries: it runs where none is.
        ("static", cfg!(target_feature = "crt-static")),
        // Signatures on AVX-512, where the processor has it: .cargo/config.toml.
        ("ed25519-avx512", cfg!(curve25519_dalek_backend = "avx512")),
        // Built for tests, and slow.
        ("debug", cfg!(debug_assertions)),
    ];
    all.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect()
}

fn cipher_name(engine: Engine) -> &'static str {
    match engine {
        Engine::Portable => "portable",
        Engine::Neon => "neon",
        Engine::Avx2 => "avx2",
        // The second is the first's, for fewer blocks.
        Engine::Avx512 | Engine::Avx512Vl => "avx512",
    }
}

/// What the groups of RFC 7919 are computed with here.
fn exponentiation() -> EngineKind {
    let group = Group::named(NamedGroup::Ffdhe2048);
    let chosen = EngineKind::BY_SPEED.into_iter().find(|kind| group.with_engine(*kind).is_some());
    // As a group itself does, where none of the quick ones runs.
    chosen.unwrap_or(EngineKind::Oracle)
}

fn exponentiation_name(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Ifma => "ifma",
        EngineKind::Adx => "adx",
        EngineKind::A64 => "a64",
        EngineKind::Portable => "portable",
        EngineKind::Oracle => "crypto-bigint",
    }
}
