//! The desk: both sides, the wire, and one act after the other.

use std::io;
use std::time::{Duration, Instant};

use ddes_session::Phase;
use ddes_wire::frame::{HEADER_BYTES, Header, split};
use ddes_wire::v2::Suite;

use crate::client::ClientSide;
use crate::draws::Draws;
use crate::record::Record;
use crate::server::{Keeper, ServerSide};
use crate::{Act, ByteChange, Happening, Maker, Side, Way, WireItem};

/// The longest body that is split off as a frame: that of either wire.
const BODY_MAX: u32 = 64 * 1024;
/// The most items on the wire: a bound on memory, far above what the acts of a text need.
const ITEMS_MAX: usize = 4096;
/// The most lines of the log.
const LOG_MAX: usize = 100_000;
/// The most items that one `flow` delivers, and the most timers that one `wait` meets: two sides
/// that answer each other for ever are stopped.
const STEPS_MAX: usize = 10_000;

/// Which wire the two sides speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageProfile {
    /// That of the original programs.
    Classic,
    /// D-DDES/2, with the suite that the client names.
    V2(Suite),
}

/// What a desk begins with.
#[derive(Clone, Debug)]
pub struct DeskSettings {
    /// The wire.
    pub profile: PageProfile,
    /// A name that all randomness follows from.
    pub seed: String,
}

/// Why an act was not possible. Nothing changed, but for [`Self::TooMuch`] of a `flow` or `wait`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// The client has no session.
    #[error("the client is not connected")]
    NotConnected,
    /// The client does not do this now.
    #[error("the client does not do that: {0}")]
    Client(String),
    /// Nothing on the wire has this number.
    #[error("nothing on the wire has the number {0}")]
    NoItem(u64),
    /// The frame has no such place.
    #[error("item {0} has no such place")]
    NoPlace(u64),
    /// Too much is on the wire, or was done.
    #[error("too much is on the wire, or was done: begin again")]
    TooMuch,
}

/// Both sides, and what is on the wire between them.
pub struct Desk {
    profile: PageProfile,
    draws: Draws,
    now: Instant,
    keeper: Keeper,
    connection: u32,
    /// `None` before the first connection.
    sides: Option<Sides>,
    wire: Vec<WireItem>,
    next_item: u64,
    log: Vec<Happening>,
    started: Instant,
    record: Record,
}

struct Sides {
    client: ClientSide,
    server: ServerSide,
    /// Which sides have put the end of their stream on the wire.
    ended: [bool; 2],
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("wire", &self.wire).finish_non_exhaustive()
    }
}

impl Desk {
    /// A desk at which nobody is connected.
    pub fn new(settings: &DeskSettings) -> Self {
        let (now, draws) = (Instant::now(), Draws::named(&settings.seed));
        Self {
            profile: settings.profile,
            keeper: Keeper::new(&draws, now),
            draws,
            now,
            connection: 0,
            sides: None,
            wire: Vec::new(),
            next_item: 0,
            log: Vec::new(),
            started: now,
            record: Record::default(),
        }
    }

    /// What is on the wire, in the order in which it was put there.
    pub fn wire(&self) -> &[WireItem] {
        &self.wire
    }

    /// What both sides did so far, oldest first.
    pub fn log(&self) -> &[Happening] {
        &self.log
    }

    /// The sum over all that was counted; `None` before something was.
    pub fn sum(&self) -> Option<i128> {
        let totals = self.keeper.ledger.totals();
        (totals.count > 0).then(|| totals.sum.get())
    }

    /// What arrived so far, as a pcapng file whose times begin with the desk's. With the `keys`,
    /// the readers of such a file see what is inside.
    pub fn capture(&self, keys: bool) -> io::Result<Vec<u8>> {
        self.record.capture(keys.then_some(&self.draws))
    }

    /// Does one thing.
    pub fn apply(&mut self, act: &Act) -> Result<(), DeskError> {
        if self.log.len() > LOG_MAX || self.wire.len() > ITEMS_MAX {
            return Err(DeskError::TooMuch);
        }
        match act {
            Act::Connect => self.connect(),
            Act::Send(integers) => self.ask(|client, now| client.send(now, integers))?,
            Act::Leave => self.ask(ClientSide::leave)?,
            Act::Wait(seconds) => self.wait(Duration::from_secs(u64::from(*seconds)))?,
            Act::Flow => self.flow()?,
            Act::Deliver(number) => {
                let item = self.take(*number)?;
                self.deliver(&item);
            }
            Act::Drop(number) => drop(self.take(*number)?),
            Act::Copy(number) => {
                let item = self.find(*number)?.clone();
                self.put(item.way, Maker::Attacker, item.bytes);
            }
            Act::Reflect(number) => {
                let item = self.find_mut(*number)?;
                (item.way, item.maker) = (item.way.reverse(), Maker::Attacker);
            }
            Act::Retype(number, opcode) => self.retype(*number, *opcode)?,
            Act::Change(number, change) => self.change(*number, change)?,
            Act::Insert(way, bytes) => self.put(*way, Maker::Attacker, bytes.clone()),
            Act::Cut(way) => self.put(*way, Maker::Attacker, Vec::new()),
        }
        self.settle();
        Ok(())
    }

    /// What was on the wire of an earlier connection is lost with it.
    fn connect(&mut self) {
        self.wire.clear();
        self.connection = self.connection.saturating_add(1);
        let (profile, draws, number, now) = (self.profile, &self.draws, self.connection, self.now);
        let trusted = self.keeper.key.public();
        let client = ClientSide::connect(profile, draws, number, trusted, now);
        let server = ServerSide::accept(profile, draws, number, &self.keeper, now);
        self.sides = Some(Sides { client, server, ended: [false; 2] });
    }

    fn ask(
        &mut self,
        act: impl FnOnce(&mut ClientSide, Instant) -> Result<(), String>,
    ) -> Result<(), DeskError> {
        let sides = self.sides.as_mut().ok_or(DeskError::NotConnected)?;
        act(&mut sides.client, self.now).map_err(DeskError::Client)
    }

    /// Goes from one timer to the next: each is handled at its time.
    fn wait(&mut self, time: Duration) -> Result<(), DeskError> {
        let until = self.now.checked_add(time).ok_or(DeskError::TooMuch)?;
        for _ in 0..STEPS_MAX {
            let due = self.sides.as_mut().and_then(|sides| {
                let due =
                    sides.client.poll_timeout().into_iter().chain(sides.server.poll_timeout());
                let due = due.min().filter(|due| *due <= until)?;
                self.now = self.now.max(due);
                sides.client.handle_timeout(self.now);
                sides.server.handle_timeout(self.now);
                Some(due)
            });
            if due.is_none() {
                self.now = until;
                return Ok(());
            }
            self.settle();
        }
        Err(DeskError::TooMuch)
    }

    fn flow(&mut self) -> Result<(), DeskError> {
        for _ in 0..STEPS_MAX {
            if self.wire.is_empty() {
                return Ok(());
            }
            let item = self.wire.remove(0);
            self.deliver(&item);
            self.settle();
        }
        Err(DeskError::TooMuch)
    }

    fn deliver(&mut self, item: &WireItem) {
        if let Some(sides) = &mut self.sides {
            let at = self.now.saturating_duration_since(self.started);
            self.record.keep(self.connection, at, item.way, &item.bytes);
            match item.way {
                Way::ToServer => sides.server.handle(self.now, &item.bytes),
                Way::ToClient => sides.client.handle(self.now, &item.bytes),
            }
        }
    }

    fn retype(&mut self, number: u64, opcode: u32) -> Result<(), DeskError> {
        let item = self.find_mut(number)?;
        let header = item.bytes.first_chunk_mut::<HEADER_BYTES>();
        let header = header.ok_or(DeskError::NoPlace(number))?;
        *header = Header { opcode, ..Header::decode(*header) }.encode();
        item.maker = Maker::Attacker;
        Ok(())
    }

    fn change(&mut self, number: u64, change: &ByteChange) -> Result<(), DeskError> {
        let item = self.find_mut(number)?;
        let none = DeskError::NoPlace(number);
        match change {
            ByteChange::Flip(bit) => {
                *item.bytes.get_mut(bit / 8).ok_or(none)? ^= 0x80 >> (bit % 8);
            }
            ByteChange::Set(at, bytes) => {
                let place = item.bytes.get_mut(*at..).and_then(|rest| rest.get_mut(..bytes.len()));
                place.ok_or(none)?.copy_from_slice(bytes);
            }
        }
        item.maker = Maker::Attacker;
        Ok(())
    }

    fn position(&self, number: u64) -> Result<usize, DeskError> {
        let found = self.wire.iter().position(|item| item.number == number);
        found.ok_or(DeskError::NoItem(number))
    }

    fn find(&self, number: u64) -> Result<&WireItem, DeskError> {
        self.wire.iter().find(|item| item.number == number).ok_or(DeskError::NoItem(number))
    }

    fn find_mut(&mut self, number: u64) -> Result<&mut WireItem, DeskError> {
        let found = self.wire.iter_mut().find(|item| item.number == number);
        found.ok_or(DeskError::NoItem(number))
    }

    fn take(&mut self, number: u64) -> Result<WireItem, DeskError> {
        Ok(self.wire.remove(self.position(number)?))
    }

    fn put(&mut self, way: Way, maker: Maker, bytes: Vec<u8>) {
        self.wire.push(WireItem { number: self.next_item, way, maker, bytes });
        self.next_item += 1;
    }

    /// Lets both sides do what they have to do now, and puts what they send on the wire.
    fn settle(&mut self) {
        let Some(mut sides) = self.sides.take() else { return };
        loop {
            let client = sides.client.step(self.now);
            let server = sides.server.step(self.now, &mut self.keeper);
            let is_quiet = client.is_none() && server.is_none();
            let told = [(Side::Client, client), (Side::Server, server)];
            for (side, told) in told {
                self.log.extend(told.map(|(text, rule)| Happening { side, text, rule }));
            }
            let sent = [
                (Way::ToServer, Maker::Client, sides.client.take_pending(self.now)),
                (Way::ToClient, Maker::Server, sides.server.take_pending(self.now)),
            ];
            for (way, maker, bytes) in &sent {
                self.put_frames(*way, *maker, bytes);
            }
            if is_quiet && sent.iter().all(|(.., bytes)| bytes.is_empty()) {
                break;
            }
        }
        let phases = [sides.client.phase(), sides.server.phase()];
        let ways = [(Way::ToServer, Maker::Client), (Way::ToClient, Maker::Server)];
        for ((phase, (way, maker)), ended) in phases.into_iter().zip(ways).zip(&mut sides.ended) {
            if phase != Phase::Live && !std::mem::replace(ended, true) {
                self.put(way, maker, Vec::new());
            }
        }
        self.sides = Some(sides);
    }

    /// Puts each frame of `bytes` on the wire.
    fn put_frames(&mut self, way: Way, maker: Maker, bytes: &[u8]) {
        let mut rest = bytes;
        while let Ok(Some(frame)) = split(rest, BODY_MAX) {
            let (whole, after) = rest.split_at(frame.len());
            self.put(way, maker, whole.to_vec());
            rest = after;
        }
        // Sessions send whole frames; whatever else they sent would not be lost.
        if !rest.is_empty() {
            self.put(way, maker, rest.to_vec());
        }
    }
}
