//! Where an exercise takes place: a server, its clients, and the attacker's place between them.
//! Real sockets of this machine's loopback, in this process, gone when the exercise is.

mod client;
mod dialled;
mod folder;
mod frames;
mod meter;
mod relay;
mod server;

pub(crate) use client::{
    ClassicClient, IntegerReply, Met, V2Client, identity, v2_entropy, v2_words,
};
pub(crate) use dialled::accept;
pub(crate) use folder::TemporaryFolder;
pub use frames::{By, Leg, Recorded, Way};
pub(crate) use frames::{FrameStream, RawFrame};
pub(crate) use meter::processor_time;
pub(crate) use relay::{Relay, pass};
pub(crate) use server::{LabServer, LogLine, SUITE, ServerPlan, server_key};
