//! A question of yes or no, on the terminal, that Ctrl-C can end.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::BufReader;
use std::pin::Pin;
use std::task::ready;
use std::thread;

use tokio::sync::oneshot;

use crate::failure::Failure;
use crate::lines_in::{Stdin, read_line};
use crate::streams;

/// An answer that is neither yes nor no is asked for again so often.
const ASKED_AGAIN_MAX: usize = 2;

type PendingAnswer = oneshot::Receiver<Result<bool, Failure>>;

/// Who asks. A question that nobody waits for any more still stands on the terminal: it is not put
/// twice, and its answer is kept.
#[derive(Debug, Default)]
pub(crate) struct Asker {
    standing: RefCell<Option<(String, PendingAnswer)>>,
}

impl Asker {
    /// Only a yes is one; no answer is a no. Dropping the future loses nothing.
    pub(crate) async fn ask(&self, question: &str) -> Result<bool, Failure> {
        let is_put =
            self.standing.borrow().as_ref().is_some_and(|(standing, _)| standing == question);
        if !is_put {
            *self.standing.borrow_mut() = Some((question.to_owned(), put(question.to_owned())?));
        }
        let answer = poll_fn(|context| {
            let mut standing = self.standing.borrow_mut();
            let answer = match &mut *standing {
                Some((_, answer)) => ready!(Pin::new(answer).poll(context)).unwrap_or(Ok(false)),
                None => Ok(false),
            };
            *standing = None;
            answer.into()
        });
        answer.await
    }
}

/// Reads in a thread of its own, so that signals are heard meanwhile.
fn put(question: String) -> Result<PendingAnswer, Failure> {
    let (answer, received) = oneshot::channel();
    thread::Builder::new()
        .name("question".into())
        .spawn(move || {
            // Whoever asked may be gone.
            drop(answer.send(converse(&question)));
        })
        .map_err(|error| Failure::system("cannot start a thread", &error))?;
    Ok(received)
}

fn converse(question: &str) -> Result<bool, Failure> {
    let mut stdin = BufReader::new(Stdin);
    say(question)?;
    for _ in 0..ASKED_AGAIN_MAX {
        match answer(&mut stdin)? {
            Some(answer) => return Ok(answer),
            None => say("Please answer y or n: ")?,
        }
    }
    Ok(answer(&mut stdin)?.unwrap_or(false))
}

/// `None`: neither yes nor no.
fn answer(stdin: &mut BufReader<Stdin>) -> Result<Option<bool>, Failure> {
    let line = read_line(stdin, false)
        .map_err(|error| Failure::system("cannot read the answer from standard input", &error))?;
    let Some(line) = line else {
        say("\n")?;
        return Ok(Some(false));
    };
    // A line that is no text is no answer.
    let line = line.unwrap_or_else(|unfit| unfit.to_string()).to_lowercase();
    Ok(match line.trim() {
        "y" | "yes" => Some(true),
        "" | "n" | "no" => Some(false),
        _ => None,
    })
}

fn say(text: &str) -> Result<(), Failure> {
    streams::to_stderr(text).map_err(|error| Failure::system("cannot ask", &error))
}
