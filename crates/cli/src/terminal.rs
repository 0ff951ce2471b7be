//! What the terminal can do.

use std::env;
use std::io::{self, IsTerminal};

use clap::builder::Styles;
use clap::builder::styling::{AnsiColor, Style};
#[cfg(unix)]
use rustix::io::Errno;

use crate::streams::say;

/// Where a terminal does not say how wide it is.
const COLUMNS: u16 = 80;

/// Terminals that cannot move their cursor, or of which nothing is known.
const WITHOUT_CURSOR: [&str; 5] = ["", "dumb", "emacs", "cons25", "unknown"];

/// Whether a line can be edited and overwritten there; without it lines are read and written
/// plainly.
pub(crate) fn has_cursor() -> bool {
    // A console of Windows can, and is not called by a name.
    if cfg!(windows) {
        return true;
    }
    let name = env::var("TERM").unwrap_or_else(|_| String::new());
    !WITHOUT_CURSOR.iter().any(|without| name.eq_ignore_ascii_case(without))
}

/// As it is now: windows are resized.
pub(crate) fn columns() -> usize {
    #[cfg(unix)]
    let columns = rustix::termios::tcgetwinsize(rustix::stdio::stdout());
    #[cfg(unix)]
    let columns = columns.map_or(0, |size| size.ws_col);
    #[cfg(windows)]
    let columns = crossterm::terminal::size().map_or(0, |(columns, _)| columns);
    usize::from(if columns == 0 { COLUMNS } else { columns })
}

/// Whether to write colours there: on a terminal that has them, unless `NO_COLOR`, `CLICOLOR` or
/// `CLICOLOR_FORCE` says otherwise (no-color.org, bixense.com/clicolors).
pub(crate) fn colours(stream: &impl IsTerminal) -> bool {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    if set("NO_COLOR").is_some() {
        return false;
    }
    if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
        return true;
    }
    set("CLICOLOR").is_none_or(|value| value != "0") && stream.is_terminal() && has_cursor()
}

/// Says so where a terminal could not be given back as it was found. One that is gone has nothing
/// to restore.
pub(crate) fn restored(outcome: io::Result<()>) {
    match outcome {
        Err(error) if !is_gone(&error) => {
            say(&format!("The terminal keeps its mode ({error}): the command reset restores it."));
        }
        Ok(()) | Err(_) => {}
    }
}

/// Of a terminal that was hung up, and of standard input or output that is none any more.
#[cfg(unix)]
fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::IO, Errno::NXIO, Errno::NOTTY, Errno::PIPE];
    gone.iter().any(|gone| error.raw_os_error() == Some(gone.raw_os_error()))
}

#[cfg(windows)]
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// What is about to go wrong, or went wrong.
pub(crate) const LOUD: Style = AnsiColor::Red.on_default().bold();
/// What a message calls its parts by.
pub(crate) const LABEL: Style = AnsiColor::Cyan.on_default();
/// What a part is headed by.
pub(crate) const TITLE: Style = Style::new().bold();
/// What is said beside the thing itself.
pub(crate) const ASIDE: Style = Style::new().dimmed();

/// Those of `--help` and of usage errors.
pub(crate) const HELP: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default())
    .error(LOUD)
    .invalid(AnsiColor::Yellow.on_default().bold())
    .valid(AnsiColor::Cyan.on_default().bold());

/// The text in a style, where the stream takes colours.
pub(crate) fn styled(stream: &impl IsTerminal, style: Style, text: &str) -> String {
    if colours(stream) { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_gone_by_its_errors_and_no_others() {
        for (errno, expect) in [(Errno::IO, true), (Errno::NOTTY, true), (Errno::INTR, false)] {
            assert_eq!(is_gone(&errno.into()), expect, "{errno}");
        }
        assert!(!is_gone(&io::Error::other("without a number")));
    }
}
