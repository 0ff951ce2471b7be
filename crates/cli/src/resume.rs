//! An input of which an outbox took a part before it was cut off: what of it still counts.

use ddes_client::courier::Courier;
use ddes_client::outbox::InputMark;
use sha2::{Digest, Sha256};

use crate::args::SendArgs;
use crate::failure::{Code, Failure};
use crate::input::Integer;
use crate::refusal;
use crate::source::Source;
use crate::streams::say;

/// How far the outbox was in the input, and how far reading is.
pub(crate) struct Resume {
    /// What the outbox has taken.
    start: InputMark,
    /// Of all integers that were read.
    hash: Sha256,
    /// What was taken before is the beginning of this input.
    is_same: bool,
}

impl Resume {
    fn behind(start: InputMark) -> Self {
        Self { start, hash: Sha256::new(), is_same: start.lines == 0 }
    }

    /// Where in the input to start: after what the outbox took of it before. A finished input is
    /// never resumed; one of which nothing was taken is as good as new.
    pub(crate) fn begin(
        args: &SendArgs,
        courier: &mut Courier,
        source: &mut Source<i64>,
    ) -> Result<Self, Failure> {
        let (mark, is_open) = courier.outbox().input();
        if matches!(source, Source::Nothing) {
            if args.fresh && is_open {
                courier.finish_input().map_err(|error| refusal::of_journal(&error))?;
            }
            return Ok(Self::behind(InputMark::default()));
        }
        let (lines, quiet) = (mark.lines, args.client.output.quiet);
        // An outbox that was refused a history holds what that try took, and --adopt is the same
        // command again.
        let resumes = args.resume || (args.adopt && !args.fresh);
        if lines > 0 && resumes && is_open {
            if !quiet {
                let taken = format!("The outbox has taken {lines} lines of this input");
                say(&format!("{taken}; going on after them."));
            }
            return Ok(Self::behind(mark));
        }
        if lines > 0 && args.resume {
            return Err(nothing_to_resume(lines));
        }
        if lines > 0 && is_open && !args.fresh {
            return Err(cut_off(lines));
        }
        if lines > 0 && is_open && begins_with(source, mark)? {
            return Err(begins_as_cut_off(lines));
        }
        if lines > 0 && is_open && matches!(source, Source::Pipe) && !quiet {
            say(&format!(
                "The {lines} lines that the outbox took of the input that was cut off are counted, \
                 or will be. Every line of this input counts besides: stop this and use --resume \
                 if it begins with them."
            ));
        }
        courier.begin_input().map_err(|error| refusal::of_journal(&error))?;
        Ok(Self::behind(InputMark::default()))
    }

    /// Whether some of the input was taken before.
    pub(crate) fn has_part(&self) -> bool {
        self.start.lines > 0
    }

    /// Whether the integer of a line comes after those that were taken; an error if the lines
    /// before it are of another input.
    pub(crate) fn is_next(&mut self, line: u64, value: impl Integer) -> Result<bool, Failure> {
        let start = self.start;
        // Older versions counted a line that was refused, or blank ones at the end, among those
        // that were taken.
        let was_same = self.is_same || (line >= start.lines && self.digest() == start.digest);
        self.is_same = was_same;
        self.hash.update(value.bytes());
        if !was_same && line <= start.lines {
            // At the last line that was taken before: is it the same input?
            let is_last = line == start.lines;
            self.is_same |= is_last && self.digest() == start.digest;
            return if is_last && !self.is_same { Err(self.other()) } else { Ok(false) };
        }
        if self.is_same { Ok(true) } else { Err(self.other()) }
    }

    /// The input up to the integer that was read last, which is in this line.
    pub(crate) fn mark(&self, line: u64) -> InputMark {
        InputMark { lines: line, digest: self.digest() }
    }

    /// The input has ended after `lines` lines.
    pub(crate) fn end(&self, lines: u64) -> Result<(), Failure> {
        if lines < self.start.lines { Err(self.other()) } else { Ok(()) }
    }

    /// What to do about a line that is refused.
    pub(crate) fn corrected(failure: Failure) -> Failure {
        failure.next(
            "correct that line, and the same command with --resume: \
             it goes on behind the lines before it, which are taken",
        )
    }

    fn digest(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    fn other(&self) -> Failure {
        let lines = self.start.lines;
        let what = format!("the first {lines} lines are not those the outbox took");
        Failure::new(Code::No, what)
            .cause("this is another input than the one that was cut off")
            .next("--resume with the same input, or --fresh with this one")
    }
}

/// Whether what was taken of another input is the beginning of this one, which a pipe cannot tell
/// without waiting.
fn begins_with(source: &mut Source<i64>, taken: InputMark) -> Result<bool, Failure> {
    let mut hash = Sha256::new();
    let lines = source.first(taken.lines, |value| hash.update(value.bytes()))?;
    Ok(lines == Some(taken.lines) && <[u8; 32]>::from(hash.finalize()) == taken.digest)
}

fn nothing_to_resume(lines: u64) -> Failure {
    let what = format!(
        "there is no input to resume: \
         the last one came to its end, after {lines} lines"
    );
    Failure::new(Code::No, what)
        .cause(
            "that run had counted it all, or the next one was cut off before it began: \
             nothing of another input was taken",
        )
        .next("without --resume to count this input, also if it is the same once more")
}

fn cut_off(lines: u64) -> Failure {
    let what = format!("an input was cut off after {lines} lines that this outbox took");
    Failure::new(Code::No, what)
        .cause("those lines are counted, or will be; sending them again would count them again")
        .next(
            "--resume goes on behind them in the same input, also in one that was corrected \
             behind them; --fresh counts every line of another input",
        )
}

fn begins_as_cut_off(lines: u64) -> Failure {
    let what = format!(
        "the first {lines} lines are those that the outbox took \
         of the input that was cut off"
    );
    Failure::new(Code::No, what).cause("with --fresh they would count again").next(
        "--resume goes on behind them; if they are to count again, take them out of the cut-off \
         input first: ddes send --outbox DIR --fresh without integers ends it",
    )
}
