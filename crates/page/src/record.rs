//! What arrived, as a capture that `ddes inspect`, `ddes explain` and Wireshark read.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ddes_capture::{Direction, SecretRole, SessionSecrets, Writer, Written};

use crate::Way;
use crate::draws::Draws;
use crate::server::exponent_and_kem;

/// The most bytes of a capture: what a page can hold.
const CAPTURE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The most bytes that a desk keeps for its capture. What comes later is not in it.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What arrived, of every connection.
#[derive(Debug, Default)]
pub(crate) struct Record {
    arrived: Vec<Arrived>,
    bytes: usize,
}

#[derive(Debug)]
struct Arrived {
    connection: u32,
    at: Duration,
    way: Way,
    bytes: Vec<u8>,
}

impl Record {
    pub(crate) fn keep(&mut self, connection: u32, at: Duration, way: Way, bytes: &[u8]) {
        if self.bytes + bytes.len() <= KEPT_BYTES_MAX {
            self.bytes += bytes.len();
            self.arrived.push(Arrived { connection, at, way, bytes: bytes.to_vec() });
        }
    }

    /// A pcapng file; with what the server drew, or without.
    pub(crate) fn capture(&self, draws: Option<&Draws>) -> io::Result<Vec<u8>> {
        let mut writer = Writer::new(Vec::new(), CAPTURE_BYTES_MAX)?;
        let mut open = None;
        for Arrived { connection, at, way, bytes } in &self.arrived {
            let number = match open {
                Some((other, number)) if other == *connection => number,
                Some(_) | None => {
                    let secrets = draws.map(|draws| secrets(draws, *connection));
                    let number = writer.open(*at, client(*connection), server(), secrets)?;
                    open = Some((*connection, number));
                    number
                }
            };
            let direction = match way {
                Way::ToServer => Direction::ToServer,
                Way::ToClient => Direction::ToClient,
            };
            // The desk's own bound is below that of the file.
            if writer.data(number, *at, direction, bytes)? == Written::Full {
                break;
            }
        }
        writer.finish()
    }
}

fn secrets(draws: &Draws, connection: u32) -> SessionSecrets {
    let (exponent, kem) = exponent_and_kem(draws, connection);
    SessionSecrets::drawn(SecretRole::Server, &*exponent, Some(&*kem))
}

fn server() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5566)
}

/// A port for each connection, from 40001 on.
fn client(connection: u32) -> SocketAddr {
    let port = 40_000 + u16::try_from(connection % 20_000).unwrap_or(0);
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
