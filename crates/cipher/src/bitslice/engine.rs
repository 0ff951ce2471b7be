//! Chooses the lanes for a processor.

#![cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    allow(unused_variables, reason = "where there is one engine, it need not be asked which")
)]

use super::lane::Lane;
#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
use super::schedule::PassDirection;
use crate::Block;

/// The lanes to compute on. By default the cipher takes the fastest; tests and measurements choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Lanes of 64 bits, on any processor.
    Portable,
    /// Lanes of 128 bits, with NEON, which every aarch64 processor has.
    Neon,
    /// Lanes of 256 bits, with AVX2.
    Avx2,
    /// Lanes of 256 bits with three-input gates, with AVX-512 VL: the fastest for up to 256 blocks.
    Avx512Vl,
    /// Lanes of 512 bits with three-input gates, with AVX-512.
    Avx512,
}

/// A pass of DES: a key without its parity, and the direction.
#[derive(Clone, Copy)]
pub(crate) struct Pass {
    /// The key; bit i is key lane i.
    pub(super) key: u64,
    pub(super) direction: PassDirection,
}

impl Pass {
    /// The most passes of one run.
    pub(super) const MAX: usize = 2;

    pub(crate) fn encrypt(key: u64) -> Self {
        Self { key, direction: PassDirection::Encrypt }
    }

    pub(crate) fn decrypt(key: u64) -> Self {
        Self { key, direction: PassDirection::Decrypt }
    }
}

impl Engine {
    /// All engines, the widest last.
    pub const ALL: [Self; 5] =
        [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512Vl, Self::Avx512];

    /// Whether this processor has the instructions.
    pub fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return match self {
            Self::Portable => true,
            Self::Neon => false,
            Self::Avx2 => super::x86::Avx2::detect().is_some(),
            Self::Avx512Vl | Self::Avx512 => super::x86::Avx512::detect().is_some(),
        };
        #[cfg(not(target_arch = "x86_64"))]
        return match self {
            Self::Portable => true,
            Self::Neon => cfg!(target_arch = "aarch64"),
            Self::Avx2 | Self::Avx512Vl | Self::Avx512 => false,
        };
    }

    /// Blocks of one batch.
    pub fn blocks(self) -> usize {
        match self {
            Self::Portable => 64,
            Self::Neon => 128,
            Self::Avx2 | Self::Avx512Vl => 256,
            Self::Avx512 => 512,
        }
    }

    /// Blocks of one batch of this processor's fastest engine.
    pub(crate) fn batch_blocks() -> usize {
        Self::best(usize::MAX).blocks()
    }

    /// This processor's fastest engine for `count` blocks.
    pub fn best(count: usize) -> Self {
        if Self::Avx512.is_available() {
            return if count <= Self::Avx512Vl.blocks() { Self::Avx512Vl } else { Self::Avx512 };
        }
        let narrower = [Self::Avx2, Self::Neon].into_iter().find(|engine| engine.is_available());
        // Every processor has it.
        narrower.unwrap_or(Self::Portable)
    }
}

/// Runs up to [`Pass::MAX`] passes on `blocks` in place. If the processor lacks `engine`, the
/// portable engine runs.
pub(crate) fn run(engine: Engine, passes: &[Pass], blocks: &mut [Block]) {
    #[cfg(target_arch = "x86_64")]
    match engine {
        Engine::Portable | Engine::Neon => {}
        Engine::Avx2 => {
            if let Some(avx2) = super::x86::Avx2::detect() {
                return avx2.blocks(passes, blocks);
            }
        }
        Engine::Avx512Vl => {
            if let Some(avx512) = super::x86::Avx512::detect() {
                return avx512.blocks_of_256(passes, blocks);
            }
        }
        Engine::Avx512 => {
            if let Some(avx512) = super::x86::Avx512::detect() {
                return avx512.blocks_of_512(passes, blocks);
            }
        }
    }
    #[cfg(target_arch = "aarch64")]
    if engine == Engine::Neon {
        return super::blocks::<Neon>(passes, blocks);
    }
    super::blocks::<u64>(passes, blocks);
}

/// Like [`run`], with the big-endian numbers from `first` on as input.
pub(crate) fn run_counters(engine: Engine, passes: &[Pass], first: u64, blocks: &mut [Block]) {
    #[cfg(target_arch = "x86_64")]
    match engine {
        Engine::Portable | Engine::Neon => {}
        Engine::Avx2 => {
            if let Some(avx2) = super::x86::Avx2::detect() {
                return avx2.counters(passes, first, blocks);
            }
        }
        Engine::Avx512Vl => {
            if let Some(avx512) = super::x86::Avx512::detect() {
                return avx512.counters_of_256(passes, first, blocks);
            }
        }
        Engine::Avx512 => {
            if let Some(avx512) = super::x86::Avx512::detect() {
                return avx512.counters_of_512(passes, first, blocks);
            }
        }
    }
    #[cfg(target_arch = "aarch64")]
    if engine == Engine::Neon {
        return super::counters::<Neon>(passes, first, blocks);
    }
    super::counters::<u64>(passes, first, blocks);
}

/// What any lanes can do.
pub(super) trait LaneWork {
    /// Does it. Must be inlined, all of it: only so does it get the lanes' instructions.
    fn on<L: Lane>(self);
}

/// Does `work` on the engine's lanes. If the processor lacks them, the portable engine does it.
pub(super) fn dispatch(engine: Engine, work: impl LaneWork) {
    #[cfg(target_arch = "x86_64")]
    match engine {
        Engine::Portable | Engine::Neon => {}
        Engine::Avx2 => {
            if let Some(avx2) = super::x86::Avx2::detect() {
                return avx2.work(work);
            }
        }
        Engine::Avx512Vl => {
            if let Some(avx512) = super::x86::Avx512::detect() {
                return avx512.work_on_256(work);
            }
        }
        Engine::Avx512 => {
            if let Some(avx512) = super::x86::Avx512::detect() {
                return avx512.work_on_512(work);
            }
        }
    }
    #[cfg(target_arch = "aarch64")]
    if engine == Engine::Neon {
        return work.on::<Neon>();
    }
    work.on::<u64>();
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[cfg(not(target_arch = "x86_64"))]
    #[test]
    fn the_widest_lanes_of_this_processor_are_taken() {
        let widest = if cfg!(target_arch = "aarch64") { Engine::Neon } else { Engine::Portable };
        for count in [1, 64, 65, 512] {
            assert_eq!(Engine::best(count), widest, "{count} blocks");
        }
    }

    /// Speed alone: every engine gives the same blocks. So nothing but this would tell that the
    /// portable one is always taken.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_quickest_engine_of_this_processor_is_taken() {
        let avx512 =
            std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512vl");
        let avx2 = std::is_x86_feature_detected!("avx2");
        for (count, on_avx512) in [
            (1, Engine::Avx512Vl),
            (256, Engine::Avx512Vl),
            (257, Engine::Avx512),
            (512, Engine::Avx512),
        ] {
            let quickest = match (avx512, avx2) {
                (true, _) => on_avx512,
                (false, true) => Engine::Avx2,
                (false, false) => Engine::Portable,
            };
            assert_eq!(Engine::best(count), quickest, "{count} blocks");
        }
    }
}
