//! What a seed decides before the first step: how large the world is, and which faults it has. Not
//! all at once: a fault shows more where others leave it room.

use std::time::Duration;

use ddes_ledger::store;

use crate::random::Random;

/// Faults of the disk, in a million calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DiskRates {
    pub(crate) read: u64,
    pub(crate) write: u64,
    pub(crate) sync: u64,
    pub(crate) create: u64,
    pub(crate) publish: u64,
    pub(crate) remove: u64,
    /// No file can be opened to make a new one: there are too many.
    pub(crate) files: u64,
    /// What is written over takes new room, and finds none while the disk is full.
    pub(crate) copies_on_write: bool,
}

impl DiskRates {
    fn draw(random: &mut Random) -> Self {
        let mut often = |ppm: u64| if random.one_in(2) { 0 } else { ppm };
        Self {
            read: often(1_000),
            write: often(2_000),
            sync: often(4_000),
            create: often(10_000),
            publish: often(40_000),
            remove: often(40_000),
            files: often(20_000),
            copies_on_write: random.one_in(3),
        }
    }
}

/// A bug put in on purpose, by the simulator; those in the ledger's own rules are `--cfg
/// ddes_mutant`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The journal's sync does nothing.
    AcknowledgeBeforeSync,
    /// The journal is synced before an answer, but only after a checkpoint that holds its content.
    CheckpointBeforeSegment,
    /// The checkpoint's sync does nothing.
    CheckpointUnsynced,
    /// A COMMIT counts although the database warned that the standby may not have it.
    WarningIgnored,
}

impl Mutant {
    /// By its name on the command line.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "acknowledge-before-sync" => Self::AcknowledgeBeforeSync,
            "checkpoint-before-segment" => Self::CheckpointBeforeSegment,
            "checkpoint-unsynced" => Self::CheckpointUnsynced,
            "warning-ignored" => Self::WarningIgnored,
            _ => return None,
        })
    }
}

/// How often each fault happens in a million steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// The power fails between two steps.
    pub(crate) power: u64,
    /// The power fails some disk calls later, in the middle of one.
    pub(crate) budget: u64,
    /// The server's process is killed.
    pub(crate) kill: u64,
    /// The server is stopped in order, and starts again.
    pub(crate) stop: u64,
    /// A client's outbox is copied.
    pub(crate) copy: u64,
    /// A client's outbox is set back to its copy.
    pub(crate) restore: u64,
    /// A client gives up in its handshake, and its message 4 is late.
    pub(crate) ghost: u64,
    /// Of connections, not of steps: somebody on the path answers.
    pub(crate) impostor: u64,
    /// A client's process is killed, or the power of its machine fails.
    pub(crate) client: u64,
    /// The same some disk calls later, in the middle of one.
    pub(crate) client_budget: u64,
    /// The disk of a client is full for a while.
    pub(crate) client_full: u64,
    /// A connection is cut.
    pub(crate) cut: u64,
    /// A connection carries nothing for a while.
    pub(crate) stall: u64,
    /// The disk is full for a while.
    pub(crate) full: u64,
    /// The ledger's folder is moved away, and another one takes its place.
    pub(crate) moved: u64,
    /// The wall clock jumps.
    pub(crate) wall: u64,
    /// Of a million ends of the server: while it is down somebody edits a sum in the newest
    /// checkpoint.
    pub(crate) edit: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) clients: usize,
    /// Endpoints over the one ledger.
    pub(crate) nodes: usize,
    pub(crate) walkers: usize,
    pub(crate) steps: u64,
    /// The most values of one client.
    pub(crate) values_max: u64,
    pub(crate) idle: Duration,
    /// How many chances to commit the clerk passes over on average, so that batches grow.
    pub(crate) lull: u64,
    pub(crate) rates: Rates,
    pub(crate) disk: DiskRates,
    /// The disks of the clients.
    pub(crate) client_disk: DiskRates,
    pub(crate) options: store::StoreOptions,
}

/// Most values of a 30, for server and ledger.
pub(crate) const FRAME_VALUES: u16 = 16;

impl Plan {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let mut often = |ppm: u64| if random.one_in(2) { 0 } else { ppm };
        let rates = Rates {
            power: often(1_500),
            budget: often(3_000),
            kill: often(1_500),
            stop: often(700),
            client: often(1_500),
            client_budget: often(3_000),
            client_full: often(1_500),
            cut: often(1_500),
            stall: often(3_000),
            full: often(1_500),
            moved: often(700),
            wall: often(5_000),
            copy: 8_000,
            restore: often(2_000),
            ghost: often(30_000),
            impostor: often(30_000),
            edit: often(300_000),
        };
        let (disk, client_disk) = (DiskRates::draw(random), DiskRates::draw(random));
        let history = random.one_in(2).then(|| Duration::from_secs(random.within(1, 48) * 3600));
        Self {
            clients: random.count(2, 5),
            nodes: random.count(1, 2),
            walkers: random.count(0, 8),
            steps: random.within(1_000, 12_000),
            values_max: random.within(40, 400),
            idle: Duration::from_secs(random.within(15, 120)),
            lull: random.within(1, 12),
            rates,
            disk,
            client_disk,
            options: store::StoreOptions {
                segment_bytes: 8192 << random.below(3),
                frame_bytes: 1024,
                values_max: FRAME_VALUES.into(),
                checkpoint_bytes: 1024 << random.below(4),
                slice_accounts: 2,
                pause_accounts: 2,
                history,
            },
        }
    }
}
