//! Power cuts in what a real server wrote: at random points of its trace what was not synced is
//! dropped, kept in part, or torn; then the ledger must open and hold all that clients had heard
//! of, take more, and hold that through another cut.

use std::collections::BTreeMap;
use std::sync::Arc;

use ddes_ledger::store::StoreOptions;
use ddes_ledger::{AccountId, Ledger, Operation, OperationOutcome, Submission, Timestamp};
use ddes_wire::{Amount, Sequence};

use crate::Random;
use crate::books::{self, Books};
use crate::image::Image;
use crate::trace::{self, Event, Synced, Thread};
use crate::values::{Sums, value};

/// What is made of the server's syncs: the two that are not kept must be noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syncs {
    Kept,
    /// As if it had never called them.
    Dropped,
    /// As if it had told its clients first, and synced later: each covers what the one before it
    /// should have.
    Late,
}

/// Half of the cuts are within this many events of a change of names, which are rare.
const NEAR: usize = 8;
const SHOWN_MAX: usize = 5;
const MORE_CLIENTS: usize = 3;

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let [path, folder, file, images, seed, syncs] = arguments else {
        return Err(
            "usage: ddes-harness power TRACE LEDGER CLIENTS IMAGES SEED whole|none|late".into()
        );
    };
    let syncs = match *syncs {
        "whole" => Syncs::Kept,
        "none" => Syncs::Dropped,
        "late" => Syncs::Late,
        other => return Err(format!("{other}: whole, none or late")),
    };
    let clients = books::clients(file)?;
    let events = trace::read(path, folder)?;
    let images = images.parse().map_err(|_| "images: a number")?;
    let seed = seed.parse().map_err(|_| "a seed is a number")?;
    let mut random = Random::new(seed);
    let mut points = points(&events, images, &mut random).into_iter().peekable();
    let mut replay = Replay::new(clients, &events, syncs);
    let (mut lost, mut torn) = (Vec::new(), 0);
    for (at, event) in (0..).zip(&events) {
        replay.step(event)?;
        while points.next_if_eq(&at).is_some() {
            match replay.examine(&mut random) {
                Ok(was_torn) => torn += u64::from(was_torn),
                Err(why) => lost.push(format!("after event {at}: {why}")),
            }
        }
    }
    let (calls, acknowledged) = (events.len(), replay.acknowledged.iter().sum::<u64>());
    println!(
        "{images} images of {calls} calls, {acknowledged} values acknowledged: {torn} with a torn batch, {} lost something (seed {seed})",
        lost.len()
    );
    if lost.is_empty() {
        return Ok(());
    }
    Err(lost.into_iter().take(SHOWN_MAX).collect::<Vec<_>>().join("\n"))
}

/// Where to cut: half anywhere, half about the places where names change.
fn points(events: &[Event], images: usize, random: &mut Random) -> Vec<usize> {
    let is_rare = |event: &Event| match event {
        Event::Touch { .. } | Event::Rename { .. } | Event::Unlink { .. } => true,
        Event::SyncBegins { of, .. } => *of == Synced::Folder,
        Event::Write { .. } | Event::SyncEnds { .. } | Event::Acknowledged { .. } => false,
    };
    let rare: Vec<usize> =
        (0..).zip(events).filter(|(_, event)| is_rare(event)).map(|(at, _)| at).collect();
    let mut points: Vec<usize> = (0..images)
        .map(|image| {
            let at = match rare.get(random.index(rare.len())) {
                Some(near) if image % 2 == 1 => {
                    (near + random.index(2 * NEAR)).saturating_sub(NEAR)
                }
                Some(_) | None => random.index(events.len()),
            };
            at.min(events.len().saturating_sub(1))
        })
        .collect();
    points.sort_unstable();
    points
}

struct Replay {
    syncs: Syncs,
    image: Image,
    /// What each sync under way will cover.
    syncing: BTreeMap<Thread, (Synced, usize)>,
    /// What [`Syncs::Late`] holds back.
    late: BTreeMap<String, usize>,
    clients: Vec<AccountId>,
    sums: Vec<Sums>,
    acknowledged: Vec<u64>,
    /// Whatever was sent was acknowledged in the end.
    sent: Vec<u64>,
}

impl Replay {
    fn new(clients: Vec<AccountId>, events: &[Event], syncs: Syncs) -> Self {
        let mut sent = vec![0; clients.len()];
        for event in events {
            if let Event::Acknowledged { client, last_seq } = event
                && let Some(sent) = sent.get_mut(*client)
            {
                *sent = *last_seq;
            }
        }
        Self {
            syncs,
            image: Image::default(),
            syncing: BTreeMap::new(),
            late: BTreeMap::new(),
            sums: (0..clients.len() as u64).map(Sums::new).collect(),
            acknowledged: vec![0; clients.len()],
            clients,
            sent,
        }
    }

    fn step(&mut self, event: &Event) -> Result<(), String> {
        let failed = |error| format!("{event:?}: {error}");
        match event {
            Event::Touch { name, anew } => self.image.touch(name, *anew),
            Event::Write { name, offset, bytes } => {
                self.image.write(name, *offset, bytes.clone()).map_err(failed)?;
            }
            Event::Rename { from, to } => self.image.rename(from, to).map_err(failed)?,
            Event::Unlink { name } => self.image.unlink(name),
            Event::SyncBegins { thread, of } => {
                let count = match of {
                    Synced::File(name) => self.image.unsynced(name).map_err(failed)?,
                    Synced::Folder => self.image.unsynced_names(),
                };
                self.syncing.insert(*thread, (of.clone(), count));
            }
            Event::SyncEnds { thread } => {
                if let Some((of, count)) = self.syncing.remove(thread) {
                    self.sync(of, count).map_err(failed)?;
                }
            }
            Event::Acknowledged { client, last_seq } => {
                let known = self.acknowledged.get_mut(*client).ok_or("an unknown client")?;
                *known = *last_seq;
            }
        }
        Ok(())
    }

    fn sync(&mut self, of: Synced, count: usize) -> std::io::Result<()> {
        match (self.syncs, of) {
            (Syncs::Dropped, _) => Ok(()),
            (Syncs::Kept | Syncs::Late, Synced::Folder) => {
                self.image.sync_names(count);
                Ok(())
            }
            (Syncs::Kept, Synced::File(name)) => self.image.sync(&name, count),
            (Syncs::Late, Synced::File(name)) => {
                let before = self.late.get(&name).copied().unwrap_or(0);
                self.image.sync(&name, before)?;
                // Counted from what is left.
                self.late.insert(name, count.saturating_sub(before));
                Ok(())
            }
        }
    }

    /// Cuts the power here; whether a batch was torn.
    fn examine(&mut self, random: &mut Random) -> Result<bool, String> {
        let image = self.image.cut(random);
        let (mut ledger, was_torn) = open(&image)?;
        let mut counted = Books::read(&image)?.counted(&self.clients, &mut self.sums)?;
        let bounds = self.acknowledged.iter().zip(&self.sent);
        for (client, (counted, (least, most))) in counted.iter().zip(bounds).enumerate() {
            if counted < least || counted > most {
                return Err(format!(
                    "client {client}: {counted} values, {least} acknowledged, {most} sent"
                ));
            }
        }
        self.add(&mut ledger, &mut counted, random)?;
        drop(ledger);
        // All that was just acknowledged, through another cut; opened, for a torn superblock is
        // only then made good.
        let image = image.cut(random);
        open(&image)?;
        let again = Books::read(&image)?.counted(&self.clients, &mut self.sums)?;
        if again == counted {
            Ok(was_torn)
        } else {
            Err(format!("{again:?} after a second cut, not {counted:?}"))
        }
    }

    /// Counts more in some accounts, and with luck makes a checkpoint of it.
    fn add(
        &self,
        ledger: &mut Ledger,
        counted: &mut [u64],
        random: &mut Random,
    ) -> Result<(), String> {
        let now = Timestamp(random.below(u64::MAX));
        for _ in 0..MORE_CLIENTS {
            let client = random.index(self.clients.len());
            let (Some(id), Some(last)) = (self.clients.get(client), counted.get_mut(client)) else {
                continue;
            };
            let opened = ledger.commit(now, &[Operation::Open(*id)]);
            let [OperationOutcome::Opened(Ok(opening))] = opened[..] else {
                return Err(format!("{opened:?}"));
            };
            let more = 1 + random.below(500);
            let amounts =
                (*last + 1..=*last + more).map(|number| Amount::from(value(client as u64, number)));
            let submission = Submission {
                account: opening.account,
                session: opening.session,
                first_seq: Sequence::new(*last + 1),
                amounts: amounts.collect(),
            };
            let added = ledger.commit(now, &[Operation::Add(submission)]);
            let [OperationOutcome::Decided(Ok(_))] = added[..] else {
                return Err(format!("{added:?}"));
            };
            *last += more;
            if random.one_in(4) {
                ledger.checkpoint();
            }
            if let Some(work) = ledger.poll_work() {
                ledger.handle_done(work.run()).map_err(|error| format!("a checkpoint: {error}"))?;
            }
            if random.one_in(2) {
                ledger.rest();
            }
        }
        Ok(())
    }
}

fn open(image: &Image) -> Result<(Ledger, bool), String> {
    let opened = Ledger::open(Arc::new(image.clone()), StoreOptions::default(), [7; 16]);
    let (ledger, opened) = opened.map_err(|error| format!("opening: {error}"))?;
    Ok((ledger, opened.was_torn))
}
