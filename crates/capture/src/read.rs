//! A whole file to conversations.

use std::io::{self, Read};

use crate::conversation::Conversations;
use crate::decode::{self, WorkBudget};
use crate::file::{self, Ending};
use crate::limits::Limits;
use crate::packet;
use crate::secrets::SessionSecrets;
use crate::streams::Streams;

/// Comments with unreadable secrets that are said one by one; more are counted.
const UNREAD_SHOWN: u64 = 16;

/// Why a file is not a capture.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Its first bytes are those of no capture format.
    #[error("this is neither a pcapng nor a pcap file")]
    Format,
}

/// Reads a capture to its end: pcapng or pcap, of tcpdump, Wireshark or [`crate::Writer`].
///
/// `secrets` are tried on the conversations, beside those in the file. A file that is cut short or
/// damaged in the middle gives what came before, and a note.
pub fn read(
    source: impl Read,
    limits: &Limits,
    secrets: &[SessionSecrets],
) -> Result<Conversations, ReadError> {
    let mut streams = Streams::new(*limits);
    let (mut packets, mut others) = (0, 0);
    let ending = file::for_each(source, &mut |captured| {
        packets += 1;
        match packet::segment(captured.link, captured.data) {
            Some(segment) => streams.take(captured.at, &segment, &captured.comments),
            None => others += 1,
        }
    })?;
    let (streams, mut counts) = streams.finish();
    (counts.packets, counts.other_packets) = (packets, others);
    let mut notes = Vec::new();
    if let Ending::Cut(what) = ending {
        notes.push(format!("{what}: what follows is not shown"));
    }
    if counts.unfollowed > 0 {
        let unfollowed = counts.unfollowed;
        notes.push(format!("{unfollowed} more connections were not followed: a bound is reached"));
    }
    let mut all = Vec::with_capacity(streams.len());
    let (mut work, mut unread) = (WorkBudget::new(limits.hashed_max), 0_u64);
    for stream in streams {
        let number = stream.number;
        let mut own = Vec::new();
        for comment in &stream.comments {
            match SessionSecrets::from_json(comment) {
                Ok(secrets) => own.push(secrets),
                Err(error) => {
                    unread += 1;
                    if unread <= UNREAD_SHOWN {
                        let what = "cannot be read";
                        notes.push(format!("the secrets in connection {number} {what}: {error}"));
                    }
                }
            }
        }
        all.push(decode::conversation(stream, &own, secrets, &mut work));
    }
    if unread > UNREAD_SHOWN {
        let more = unread - UNREAD_SHOWN;
        notes.push(format!("the secrets in {more} more comments cannot be read"));
    }
    if work.is_spent() {
        let most = limits.hashed_max;
        notes.push(format!(
            "not all secrets and gaps were tried: {most} bytes were hashed for those that lead to \
             nothing, a bound is reached"
        ));
    }
    Ok(Conversations { all, notes, counts })
}
