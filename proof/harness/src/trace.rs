//! What strace saw of a server's ledger and of its clients, in one order.
//!
//! A write may be on the disk from where its call begins; a sync holds from where its call returns,
//! for what was written before it began. A client knows that a value counts once it prints that.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};

/// A thread, as strace numbers it.
pub(crate) type Thread = u32;

#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Opened to be made, if it is not there; emptied, where `anew`.
    Touch {
        name: String,
        anew: bool,
    },
    Write {
        name: String,
        offset: u64,
        bytes: Vec<u8>,
    },
    Rename {
        from: String,
        to: String,
    },
    Unlink {
        name: String,
    },
    /// Of a file, or of the folder.
    SyncBegins {
        thread: Thread,
        of: Synced,
    },
    SyncEnds {
        thread: Thread,
    },
    Acknowledged {
        client: usize,
        last_seq: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Synced {
    File(String),
    Folder,
}

/// Reads what `strace -f -y -xx` wrote of the files in `folder`.
pub(crate) fn read(path: &str, folder: &str) -> Result<Vec<Event>, String> {
    let file = File::open(path).map_err(|error| format!("{path}: {error}"))?;
    let mut reader = Reader { folder, syncing: BTreeMap::new(), events: Vec::new() };
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| format!("{path}: {error}"))?;
        let shown = line.get(..line.len().min(120)).unwrap_or("");
        reader.line(&line).ok_or_else(|| format!("{path}, line {}: {shown}", number + 1))?;
    }
    Ok(reader.events)
}

struct Reader<'a> {
    folder: &'a str,
    /// Which threads are in a sync of ours.
    syncing: BTreeMap<Thread, ()>,
    events: Vec<Event>,
}

impl Reader<'_> {
    /// `None` for a line of ours that cannot be read.
    fn line(&mut self, line: &str) -> Option<()> {
        let (thread, call) = line.split_once(' ')?;
        let (thread, call) = (thread.parse().ok()?, call.trim_start());
        if let Some(resumed) = call.strip_prefix("<... ") {
            if resumed.starts_with("f") && resumed.contains("sync resumed") {
                self.sync_ends(thread, call);
            }
            return Some(());
        }
        let Some((name, arguments)) = call.split_once('(') else { return Some(()) };
        match name {
            "openat" => self.opened(arguments),
            "pwrite64" => self.written(arguments),
            "write" => self.said(arguments),
            "rename" | "renameat" | "renameat2" => {
                let mut names = paths(arguments);
                if let (Some(from), Some(to)) =
                    (self.file(&names.next()?), self.file(&names.next()?))
                {
                    self.events.push(Event::Rename { from, to });
                }
                Some(())
            }
            "unlink" | "unlinkat" => {
                if let Some(name) = self.file(&paths(arguments).next()?) {
                    self.events.push(Event::Unlink { name });
                }
                Some(())
            }
            "fsync" | "fdatasync" => {
                let path = descriptor(arguments)?;
                let of = if path == self.folder {
                    Synced::Folder
                } else if let Some(name) = self.file(&path) {
                    Synced::File(name)
                } else {
                    return Some(());
                };
                self.events.push(Event::SyncBegins { thread, of });
                self.syncing.insert(thread, ());
                if !call.ends_with("<unfinished ...>") {
                    self.sync_ends(thread, call);
                }
                Some(())
            }
            _ => Some(()),
        }
    }

    fn sync_ends(&mut self, thread: Thread, call: &str) {
        if self.syncing.remove(&thread).is_some() && call.ends_with("= 0") {
            self.events.push(Event::SyncEnds { thread });
        }
    }

    fn opened(&mut self, arguments: &str) -> Option<()> {
        let path = paths(arguments).next()?;
        if let Some(name) = self.file(&path).filter(|_| arguments.contains("O_CREAT")) {
            let anew = arguments.contains("O_TRUNC") || arguments.contains("O_EXCL");
            self.events.push(Event::Touch { name, anew });
        }
        Some(())
    }

    fn written(&mut self, arguments: &str) -> Option<()> {
        let Some(name) = self.file(&descriptor(arguments)?) else { return Some(()) };
        let (_, rest) = arguments.split_once(", \"")?;
        let (data, rest) = rest.split_once("\", ")?;
        let (count, rest) = rest.split_once(", ")?;
        let offset: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let bytes = unescape(data)?;
        // A shorter one was cut by `-s`.
        (bytes.len().to_string() == count).then_some(())?;
        self.events.push(Event::Write { name, offset: offset.parse().ok()?, bytes });
        Some(())
    }

    /// A client prints that values are counted.
    fn said(&mut self, arguments: &str) -> Option<()> {
        let Some((_, rest)) = arguments.split_once(", \"") else { return Some(()) };
        let (data, _) = rest.split_once('"')?;
        let said = String::from_utf8(unescape(data)?).unwrap_or_else(|_| String::new());
        for line in said.lines() {
            let Some(counted) = line.strip_prefix("counted ") else { continue };
            let (client, last_seq) = counted.split_once(' ')?;
            let (client, last_seq) = (client.parse().ok()?, last_seq.parse().ok()?);
            self.events.push(Event::Acknowledged { client, last_seq });
        }
        Some(())
    }

    /// The name of a path in the ledger's folder.
    fn file(&self, path: &str) -> Option<String> {
        path.strip_prefix(self.folder)?.strip_prefix('/').map(str::to_owned)
    }
}

/// The path in `4</a/b>, …`.
fn descriptor(arguments: &str) -> Option<String> {
    let (path, _) = arguments.split_once('<')?.1.split_once('>')?;
    String::from_utf8(unescape(path)?).ok()
}

/// The paths among arguments: `"/a/b"`, or `4</a>, "b"`.
fn paths(arguments: &str) -> impl Iterator<Item = String> {
    let text = |escaped| String::from_utf8(unescape(escaped)?).ok();
    let mut parts = arguments.split('"');
    std::iter::from_fn(move || {
        let (before, name) = (parts.next()?, text(parts.next()?)?);
        let folder = before.rsplit_once('<').and_then(|(_, rest)| text(rest.split_once('>')?.0));
        Some(match folder {
            Some(folder) if !name.starts_with('/') => format!("{folder}/{name}"),
            Some(_) | None => name,
        })
    })
}

/// `\x41\x42`, and nothing else.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let (bytes, rest) = text.as_bytes().as_chunks::<4>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |[slash, x, high, low]: &[u8; 4]| {
        let is_escape = (*slash, *x) == (b'\\', b'x');
        is_escape.then_some(())?;
        Some(digit(*high)? << 4 | digit(*low)?)
    };
    rest.is_empty().then(|| bytes.iter().map(byte).collect())?
}
