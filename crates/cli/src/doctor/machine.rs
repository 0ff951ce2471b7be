//! The engines that this processor lets the ciphers use, and what of the kernel the server uses.

use std::thread::available_parallelism;

use ddes_cipher::Engine;
use ddes_ffdhe::{EngineKind, Group, NamedGroup};
use rustix::system::uname;

use super::Finding;

/// Since this release Linux grants the short slices that the server's loop asks for.
const SLICES_SINCE: (u32, u32) = (6, 12);

pub(super) fn look() -> Vec<Finding> {
    vec![cipher(), exponentiation(), kernel()]
}

fn cipher() -> Finding {
    let name = match Engine::best(usize::MAX) {
        Engine::Avx512 | Engine::Avx512Vl => "AVX-512, lanes of 512 bits",
        Engine::Avx2 => "AVX2, lanes of 256 bits",
        Engine::Neon => "NEON, lanes of 128 bits",
        Engine::Portable => "portable, lanes of 64 bits (a processor with AVX2 is faster)",
    };
    Finding::ok("engine", format!("Double DES: {name}"))
}

fn exponentiation() -> Finding {
    let group = Group::named(NamedGroup::Ffdhe2048);
    let chosen = EngineKind::BY_SPEED.into_iter().find(|kind| group.with_engine(*kind).is_some());
    let name = match chosen {
        Some(EngineKind::Ifma) => "AVX-512 IFMA",
        Some(EngineKind::Adx) => "MULX and ADX",
        Some(EngineKind::A64) => "A64, limbs in blocks of eight",
        Some(EngineKind::Portable) => "portable (a processor with ADX is faster)",
        Some(EngineKind::Oracle) | None => "crypto-bigint",
    };
    Finding::ok("engine", format!("Diffie-Hellman: {name}"))
}

fn kernel() -> Finding {
    let name = uname();
    let release = name.release().to_string_lossy();
    let slices = match version(&release) {
        Some(found) if found >= SLICES_SINCE => "short slices for the server's loop",
        Some(_) => "no short slices before 6.12: answers wait longer while handshakes run",
        None => "short slices since 6.12",
    };
    let processors =
        available_parallelism().map_or_else(|error| error.to_string(), |count| count.to_string());
    Finding::ok(
        "kernel",
        format!(
            "{} {release}, {processors} processors; {slices}",
            name.sysname().to_string_lossy()
        ),
    )
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_begins_with_its_version() {
        assert_eq!(version("6.12.1-amd64"), Some((6, 12)));
        assert_eq!(version("5.10"), Some((5, 10)));
        assert_eq!(version("unknown"), None);
    }
}
