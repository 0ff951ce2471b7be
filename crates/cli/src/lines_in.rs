//! One reader of lines for every input: a pipe, a file, a terminal without an editor, the console.
//!
//! A read that fails is an error and never the end. A line is given whole or refused whole: of what
//! makes no difference to an integer (leading zeros, blanks) it may have any amount, and of
//! everything else [`LINE_BYTES_MAX`].

use std::fmt;
use std::io::{self, BufRead, IsTerminal, Read};

#[cfg(unix)]
use by_descriptor::read_stdin;

/// What is kept of a line, in bytes: blanks in a row count as one, and leading zeros not at all.
pub(crate) const LINE_BYTES_MAX: usize = 4096;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a line is not taken. Where it ends is known only of one that was read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    TooLong,
    Nul,
    NotText,
}

impl Unfit {
    /// Whether the rest of the line is still to come; see [`skip_line`].
    pub(crate) fn is_cut(self) -> bool {
        match self {
            Self::TooLong | Self::Nul => true,
            Self::NotText => false,
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "has more than {LINE_BYTES_MAX} bytes"),
            Self::Nul => f.write_str("holds a NUL byte: it is UTF-16, or no text"),
            Self::NotText => f.write_str("is not UTF-8 text"),
        }
    }
}

/// The next line without its end, or why it is not taken; `None` at the end of the input.
pub(crate) fn read_line(
    reader: &mut impl BufRead,
    is_first: bool,
) -> io::Result<Option<Result<String, Unfit>>> {
    let mut line = PartialLine { mark: is_first.then_some(0), ..PartialLine::default() };
    let mut is_empty = true;
    loop {
        let available = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            available => available?,
        };
        if available.is_empty() {
            return Ok((!is_empty).then(|| line.text()));
        }
        is_empty = false;
        let end = available.iter().position(|byte| *byte == b'\n');
        let (part, _) = available.split_at(end.unwrap_or(available.len()));
        let outcome = part.iter().try_for_each(|byte| line.push(*byte));
        let taken = part.len() + usize::from(end.is_some() && outcome.is_ok());
        reader.consume(taken);
        match outcome {
            Err(unfit) => return Ok(Some(Err(unfit))),
            Ok(()) if end.is_some() => return Ok(Some(line.text())),
            Ok(()) => {}
        }
    }
}

/// Reads on to the end of a line that was refused.
pub(crate) fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let available = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            available => available?,
        };
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(available.len(), |end| end + 1);
        let is_done = available.is_empty() || end.is_some();
        reader.consume(taken);
        if is_done {
            return Ok(());
        }
    }
}

/// What is kept of a line so far.
#[derive(Default)]
struct PartialLine {
    kept: Vec<u8>,
    at: At,
    /// How much of a byte order mark has come, while one may.
    mark: Option<usize>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    Blank,
    Sign,
    /// The zero kept stands for all of them.
    Zeros,
    Word,
}

impl PartialLine {
    fn push(&mut self, byte: u8) -> Result<(), Unfit> {
        let Some(seen) = self.mark else { return self.keep(byte) };
        if BYTE_ORDER_MARK.get(seen) == Some(&byte) {
            self.mark = (seen + 1 < BYTE_ORDER_MARK.len()).then_some(seen + 1);
            return Ok(());
        }
        self.mark = None;
        BYTE_ORDER_MARK.iter().take(seen).chain([&byte]).try_for_each(|byte| self.keep(*byte))
    }

    fn keep(&mut self, byte: u8) -> Result<(), Unfit> {
        let (kept, at) = match (byte, self.at) {
            (0, _) => return Err(Unfit::Nul),
            (b' ' | b'\t' | b'\r' | b'\x0b' | b'\x0c', At::Blank) => return Ok(()),
            (b' ' | b'\t' | b'\r' | b'\x0b' | b'\x0c', At::Sign | At::Zeros | At::Word) => {
                (b' ', At::Blank)
            }
            (b'+' | b'-', At::Blank) => (byte, At::Sign),
            (b'0', At::Zeros) => return Ok(()),
            (b'0', At::Blank | At::Sign) => (byte, At::Zeros),
            (b'1'..=b'9', At::Zeros) => {
                self.kept.pop();
                (byte, At::Word)
            }
            (_, At::Blank | At::Sign | At::Zeros | At::Word) => (byte, At::Word),
        };
        if self.kept.len() == LINE_BYTES_MAX {
            return Err(Unfit::TooLong);
        }
        self.kept.push(kept);
        self.at = at;
        Ok(())
    }

    fn text(&mut self) -> Result<String, Unfit> {
        // A mark that was cut off is no text.
        let cut = self.mark.take().is_some_and(|seen| seen > 0);
        if self.at == At::Blank {
            self.kept.pop();
        }
        let kept = std::mem::take(&mut self.kept);
        String::from_utf8(kept).ok().filter(|_| !cut).ok_or(Unfit::NotText)
    }
}

/// Standard input, which may be set not to block: then it is waited for. Unbuffered.
#[derive(Debug)]
pub(crate) struct Stdin;

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_stdin(buffer)
    }
}

#[cfg(unix)]
mod by_descriptor {
    use std::io;
    use std::os::fd::BorrowedFd;

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::io::Errno;
    use rustix::stdio::stdin;
    use rustix::termios::tcgetattr;

    pub(super) fn read_stdin(buffer: &mut [u8]) -> io::Result<usize> {
        read_patiently(stdin(), buffer)
    }

    pub(super) fn read_patiently(input: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::io::read(input, &mut *buffer) {
                Ok(0) => return end_of(input).map(|()| 0),
                Ok(count) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait_for(input)?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A terminal that is gone reads as if Ctrl-D were typed for ever.
    fn end_of(input: BorrowedFd<'_>) -> io::Result<()> {
        match tcgetattr(input) {
            Err(Errno::IO) => Err(Errno::IO.into()),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn wait_for(input: BorrowedFd<'_>) -> io::Result<()> {
        let mut inputs = [PollFd::from_borrowed_fd(input, PollFlags::IN)];
        match poll(&mut inputs, None) {
            // Whatever it is, the next read tells.
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(windows)]
fn read_stdin(buffer: &mut [u8]) -> io::Result<usize> {
    io::stdin().read(buffer)
}

/// Whether standard input is a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdin().is_terminal()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{BufReader, Write};
    use std::os::fd::AsFd;
    use std::thread;

    use super::by_descriptor::read_patiently;
    use super::{LINE_BYTES_MAX, Unfit, read_line, skip_line};

    /// All lines of a text, read in pieces of every size up to that of a line.
    fn lines(text: &[u8]) -> Vec<Result<String, Unfit>> {
        let read = |piece: usize| {
            let (mut reader, mut lines) = (BufReader::with_capacity(piece, text), Vec::new());
            while let Some(line) = read_line(&mut reader, lines.is_empty()).unwrap() {
                if line.as_ref().is_err_and(|unfit| unfit.is_cut()) {
                    skip_line(&mut reader).unwrap();
                }
                lines.push(line);
            }
            lines
        };
        let whole = read(1 << 16);
        for piece in [1, 2, 3, 7] {
            assert_eq!(read(piece), whole, "{piece} bytes at a time");
        }
        whole
    }

    fn line(text: &str) -> Result<String, Unfit> {
        Ok(text.into())
    }

    #[test]
    fn zeros_and_blanks_of_any_length_make_no_difference_to_an_integer() {
        let zeros = "0".repeat(3 * LINE_BYTES_MAX);
        let blanks = " \t".repeat(3 * LINE_BYTES_MAX);
        for (text, expected) in [
            (format!("{zeros}1234567890"), "1234567890"),
            (format!("{blanks}-{zeros}7{blanks}\r\n"), "-7"),
            (format!("+{zeros}\n"), "+0"),
            (format!("30 {zeros}5"), "30 5"),
            (format!("7{blanks}junk"), "7 junk"),
            ("1005 0x10 0.5 -0 10".into(), "1005 0x10 0.5 -0 10"),
            (blanks.clone(), ""),
        ] {
            assert_eq!(lines(text.as_bytes()), [line(expected)]);
        }
    }

    #[test]
    fn a_line_is_given_whole_or_refused_whole_and_the_next_one_is_not_touched() {
        let most = "1".repeat(LINE_BYTES_MAX);
        assert_eq!(lines(format!("{most}\n2").as_bytes()), [line(&most), line("2")]);
        assert_eq!(lines(format!("{most}1\n2\n").as_bytes()), [Err(Unfit::TooLong), line("2")]);
        assert_eq!(lines(b"1\x002\n3"), [Err(Unfit::Nul), line("3")]);
        assert_eq!(lines(b"1\n\xff\xfe2\n3"), [line("1"), Err(Unfit::NotText), line("3")]);
    }

    #[test]
    fn a_byte_order_mark_is_skipped_at_the_start_and_nowhere_else() {
        assert_eq!(lines(b"\xef\xbb\xbf0042\r\n\r\n7"), [line("42"), line(""), line("7")]);
        assert_eq!(lines(b"1\n\xef\xbb\xbf2"), [line("1"), line("\u{feff}2")]);
        assert_eq!(lines(b"\xef\xbb"), [Err(Unfit::NotText)]);
        assert_eq!(lines(b"\xef\xbb\xbf"), [line("")]);
        assert_eq!(lines(b""), []);
    }

    #[test]
    fn a_pipe_that_does_not_block_is_waited_for() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        let reading = thread::spawn(move || {
            let (mut got, mut buffer) = (Vec::new(), [0; 16]);
            loop {
                match read_patiently(reader.as_fd(), &mut buffer).unwrap() {
                    0 => return got,
                    count => got.extend_from_slice(&buffer[..count]),
                }
            }
        });
        for _ in 0..5 {
            thread::yield_now();
            writer.write_all(b"1000\n").unwrap();
        }
        drop(writer);
        assert_eq!(reading.join().unwrap(), b"1000\n".repeat(5));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_not_the_end() {
        let folder = File::open("/").unwrap();
        assert!(read_patiently(folder.as_fd(), &mut [0; 16]).is_err());
    }
}
