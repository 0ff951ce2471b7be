//! Integers from standard input, one a line; and how far it is.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, IsTerminal};
use std::str::FromStr;
use std::time::Duration;

use ddes_wire::shown;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::failure::{Code, Failure};
use crate::lines_in::{Unfit, read_line};

/// How often a bar is drawn anew.
pub(crate) const REDRAW: Duration = Duration::from_millis(100);

/// What is shown of a line that is no integer.
const SHOWN_CHARS_MAX: usize = 40;

/// What the wire of a profile carries.
pub(crate) trait Integer: FromStr + fmt::Display + Copy + Send + 'static {
    /// For messages.
    const RANGE: &'static str;

    /// As an outbox hashes it.
    fn bytes(self) -> [u8; 8];
}

/// Of D-DDES/2.
impl Integer for i64 {
    const RANGE: &'static str = "-9223372036854775808 to 9223372036854775807 (64 bits)";

    fn bytes(self) -> [u8; 8] {
        self.to_be_bytes()
    }
}

/// Of the classic profile.
impl Integer for u64 {
    const RANGE: &'static str = "0 to 18446744073709551615 (2^64 - 1) on the classic wire";

    fn bytes(self) -> [u8; 8] {
        self.to_be_bytes()
    }
}

/// The integer of the next line of standard input that is not blank; `line` is its number.
pub(crate) fn next_line<T: Integer, R: BufRead>(
    reader: &mut R,
    line: &mut u64,
) -> Option<Result<T, Failure>> {
    next_line_of("standard input", reader, line)
}

/// As [`next_line`], of another input. After an error nothing more is to be read.
pub(crate) fn next_line_of<T: Integer>(
    name: &str,
    reader: &mut impl BufRead,
    line: &mut u64,
) -> Option<Result<T, Failure>> {
    loop {
        match read_line(reader, *line == 0) {
            Err(error) => return Some(Err(unreadable(name, *line, &error))),
            Ok(None) => return None,
            Ok(Some(Err(unfit))) => {
                *line += 1;
                return Some(Err(refused(&unfit_line(*line, unfit))));
            }
            Ok(Some(Ok(text))) => {
                *line += 1;
                if !text.trim().is_empty() {
                    let refused = |what| refused(&format!("line {line}: {what}"));
                    return Some(integer(&text).map_err(refused));
                }
            }
        }
    }
}

/// Nothing is known of what was not read: it is not the end.
pub(crate) fn unreadable(name: &str, lines: u64, error: &io::Error) -> Failure {
    let after = if lines == 0 { String::new() } else { format!(" after line {lines}") };
    Failure::system(&format!("cannot read {name}{after}"), error)
        .cause("reading failed there: this is not the end of the input")
}

/// What a line that is not taken is called by.
pub(crate) fn unfit_line(line: u64, unfit: Unfit) -> String {
    format!("line {line} {unfit}")
}

fn refused(what: &str) -> Failure {
    Failure::new(Code::Usage, what).next("one integer a line, blank lines are skipped")
}

/// An integer in the range of its type, or what is wrong with it.
pub(crate) fn integer<T: Integer>(text: &str) -> Result<T, String> {
    let text = text.trim();
    text.parse().map_err(|_| {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
            let more = if shown.len() < text.len() { "..." } else { "" };
            format!("{shown}{more} is outside the range, {}", T::RANGE)
        } else {
            let shown: String =
                text.chars().filter(|c| shown::is_plain(*c)).take(SHOWN_CHARS_MAX).collect();
            format!("'{shown}' is not an integer")
        }
    })
}

/// Standard input, if it is a file that can be read twice.
pub(crate) fn stdin_file() -> io::Result<Option<File>> {
    #[cfg(unix)]
    let handle = std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned()?;
    #[cfg(windows)]
    let handle = std::os::windows::io::AsHandle::as_handle(&io::stdin()).try_clone_to_owned()?;
    let file = File::from(handle);
    Ok(file.metadata()?.is_file().then_some(file))
}

/// A bar where the end is known, a counter where not, nothing where nobody watches.
pub(crate) fn progress(length: Option<u64>, quiet: bool) -> ProgressBar {
    if quiet || !io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
    }
    let template = match length {
        Some(_) => "{wide_bar} {pos}/{len} {rate} {eta} left",
        None => "{spinner} {pos} sent {rate}",
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    // The bar's own rate has four decimals.
    let style = style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
        // A bar that cannot be drawn is no reason to stop sending.
        write!(out, "{:.0}/s", state.per_sec()).unwrap_or(());
    });
    ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr()).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_end_where_their_wire_does() {
        for (text, value) in [
            ("-9223372036854775808", i64::MIN),
            ("9223372036854775807", i64::MAX),
            (" +0042\t", 42),
            ("-0", 0),
        ] {
            assert_eq!(integer::<i64>(text), Ok(value), "{text}");
        }
        assert_eq!(integer::<u64>("18446744073709551615"), Ok(u64::MAX));
        let refused = |outcome: Result<(), String>, text: &str| {
            let why = outcome.unwrap_err();
            assert!(why.starts_with(&format!("{text} is outside the range, ")), "{why}");
        };
        for text in [
            "-9223372036854775809",
            "9223372036854775808",
            "18446744073709551616",
            "340282366920938463463374607431768211456",
        ] {
            refused(integer::<i64>(text).map(drop), text);
        }
        for text in ["-1", "18446744073709551616"] {
            refused(integer::<u64>(text).map(drop), text);
        }
    }
}
