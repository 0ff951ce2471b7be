//! `ddes ledger receipt`: what the ledger holds, under the server's signature.
//!
//! ```text
//! the statement                       as ddes-ledger writes it, one field a line
//! -----BEGIN SSH SIGNATURE-----       SSHSIG over the statement's bytes:
//! …                                   namespace ddes2-receipt, SHA-512
//! -----END SSH SIGNATURE-----
//! ```

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ddes_identity::{Namespace, PublicKey, SigningKey};
use ddes_ledger::{AccountId, Statement, Subject, audit};
use ddes_web::ReceiptFault;
use ddes_wire::Sequence;
use ddes_wire::shown::hex;

use super::account::ShownAccount;
use super::folder::Books;
use super::shared::SharedBooks;
use super::shown_time;
use crate::args::ReceiptArgs;
use crate::failure::{Code, Failure};
use crate::home::{Home, public_path, read_key, read_public_file};
use crate::keys;
use crate::screen::{Line, Screen, number};

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
/// A statement has some 300 bytes, a signature as many.
const FILE_BYTES_MAX: u64 = 16 * 1024;

pub(super) fn run(args: &ReceiptArgs) -> Result<(), Failure> {
    if let Some(path) = &args.check {
        return check(args, path);
    }
    if let Some(shared) = SharedBooks::look(&args.books)? {
        let key = signing_key(&shared.home)?;
        let statement = shared.statement(args)?;
        return sign(args, &key, &statement);
    }
    let books = Books::look(&args.books)?;
    // Before the ledger is read for nothing.
    let key = signing_key(&books.home)?;
    let statement = statement(args, &books)?;
    sign(args, &key, &statement)
}

fn sign(args: &ReceiptArgs, key: &SigningKey, statement: &Statement) -> Result<(), Failure> {
    let text = statement.to_string();
    let armor = key.sign_armored(Namespace::Receipt, text.as_bytes());
    let armor = armor.map_err(|error| Failure::system("cannot sign", &error))?;
    let line = Line::new("receipt", format!("{text}{}", armor.trim_end()));
    let line = with_statement(line, statement).with("server_key", key.public().to_openssh());
    Screen::of(&args.books.output).show(&line.with("statement", text).with("signature", armor))
}

fn statement(args: &ReceiptArgs, books: &Books) -> Result<Statement, Failure> {
    let store = |error| books.failure(error);
    let Some(text) = &args.account else {
        return audit::checkpoint_statement(&books.folder).map_err(store)?.ok_or_else(|| {
            Failure::new(
                Code::No,
                format!("{} has no checkpoint yet that its journal names", books.path.display()),
            )
            .cause(
                "the server makes one after 256 MiB of journal, later where there are many \
                        accounts; those of an earlier release it names when it opens the ledger",
            )
            .next(format!("ddes ledger receipt ACCOUNT{}", books.flags))
        });
    };
    let id = books.named(text)?;
    match args.last_seq {
        None => books.view()?.statement(&id).ok_or_else(|| unknown(&id, books)),
        Some(last_seq) => {
            let found =
                audit::statement_at(&books.folder, &id, Sequence::new(last_seq)).map_err(store)?;
            found.ok_or_else(|| {
                Failure::new(
                    Code::No,
                    format!("no acknowledgement of integer {last_seq} of {text} is kept"),
                )
                .cause("it was not counted, or is older than what is kept (--history-days)")
                .next(format!("ddes ledger receipt '{text}'{}     (its total now)", books.flags))
            })
        }
    }
}

fn unknown(id: &AccountId, books: &Books) -> Failure {
    Failure::new(Code::No, format!("the ledger has no account {}", ShownAccount::new(id).short()))
        .cause("it never had a session here; or it was a classic one, and its session is over")
        .next(format!("ddes ledger ls{}", books.flags))
}

fn check(args: &ReceiptArgs, path: &Path) -> Result<(), Failure> {
    let home = Home::find(&args.books.home)?;
    let key = server_key(args.server_key.as_deref(), &home)?;
    let statement = Receipt::read(path)?.check(&key)?;
    let text = format!("signed by {}: {}", key.fingerprint(), summary(&statement));
    let line = with_statement(Line::new("receipt_signed", text), &statement);
    Screen::of(&args.books.output).show(&line.with("server_key", key.to_openssh()))
}

/// A file that says that it is a receipt.
pub(super) struct Receipt {
    path: PathBuf,
    text: String,
}

impl Receipt {
    /// Reads one; `-` is standard input.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let mut text = String::new();
        let read = if path == Path::new("-") {
            io::stdin().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
        } else {
            File::open(path)
                .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        };
        match read {
            Ok(bytes) if bytes as u64 <= FILE_BYTES_MAX => Ok(Self { path: path.to_owned(), text }),
            Ok(_) => {
                Err(bad(path, &format!("it is not a receipt: more than {FILE_BYTES_MAX} bytes")))
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(bad(path, "it is not a receipt"))
            }
            Err(error) => {
                let failure = Failure::system(&format!("cannot read {}", path.display()), &error);
                Err(failure.cause_of_path(&error).next("ddes ledger receipt NAME > FILE makes one"))
            }
        }
    }

    /// What it states, if `key` has signed it.
    pub(super) fn check(&self, key: &PublicKey) -> Result<Statement, Failure> {
        check_receipt(&self.text, key).map_err(|fault| match fault {
            ReceiptFault::Unreadable(why) | ReceiptFault::NotSigned(why) => bad(&self.path, &why),
        })
    }
}

/// What the text of a receipt states, if `key` has signed it.
pub(crate) fn check_receipt(text: &str, key: &PublicKey) -> Result<Statement, ReceiptFault> {
    let unsigned = || ReceiptFault::Unreadable("it is not a receipt: it has no signature".into());
    let at = text.find(BEGIN).ok_or_else(unsigned)?;
    let (statement, armor) = text.split_at_checked(at).ok_or_else(unsigned)?;
    key.verify_armored(Namespace::Receipt, statement.as_bytes(), armor)
        .map_err(|error| ReceiptFault::NotSigned(error.to_string()))?;
    Statement::parse(statement).map_err(|error| ReceiptFault::Unreadable(error.to_string()))
}

fn bad(path: &Path, why: &str) -> Failure {
    Failure::new(Code::Integrity, format!("{}: {why}", path.display()))
        .cause("the receipt was changed, or another server signed it")
        .next(
            "--server-key with the key of the server that signed it, from its: ddes key show \
               --server-key",
        )
}

/// Whose signature a receipt must have.
pub(super) fn server_key(given: Option<&str>, home: &Home) -> Result<PublicKey, Failure> {
    let own = public_path(&home.server_key());
    match given {
        Some(text) => keys::public(text),
        None if own.exists() => read_public_file(&own),
        None => Err(Failure::new(Code::Usage, "this home has no server key to verify it with")
            .cause("the receipt is of a server with another home")
            .next(
                "--server-key 'ssh-ed25519 AAAA...' or FILE, from its: ddes key show --server-key",
            )),
    }
}

fn signing_key(home: &Home) -> Result<SigningKey, Failure> {
    let path = home.server_key();
    if !path.exists() {
        return Err(Failure::new(
            Code::Identity,
            format!("there is no server's key {}", path.display()),
        )
        .cause("only the key that clients know the server by signs receipts")
        .next("--home DIR of the server"));
    }
    read_key(&path, keys::no_passphrase)
}

/// In one line, for people.
pub(super) fn summary(statement: &Statement) -> String {
    let whose = match &statement.subject {
        Subject::Account(id) | Subject::Shared(id) => ShownAccount::new(id).short().to_owned(),
        Subject::Checkpoint { accounts, .. } => format!("{accounts} accounts"),
    };
    let Statement { ledger, count, sum, batch, time, .. } = statement;
    let of = ledger.map_or_else(String::new, |ledger| format!(" of ledger {}", hex(&ledger)));
    let with = point(statement);
    format!(
        "{whose}, {count} integers, sum {sum}, with {with} {batch} of {}{of}",
        shown_time(*time)
    )
}

/// What the number of a statement counts.
fn point(statement: &Statement) -> &'static str {
    match &statement.subject {
        Subject::Account(_) | Subject::Checkpoint { .. } => "batch",
        Subject::Shared(_) => "entry",
    }
}

/// For programs.
pub(super) fn with_statement(line: Line, statement: &Statement) -> Line {
    let line = match &statement.subject {
        Subject::Account(id) | Subject::Shared(id) => ShownAccount::new(id).with(line),
        Subject::Checkpoint { accounts, digest } => {
            line.with("checkpoint_digest", hex(digest)).with("accounts", *accounts)
        }
    };
    line.with("ledger", statement.ledger.map(|ledger| hex(&ledger)))
        .with("count", number(&statement.count))
        .with("sum", number(&statement.sum))
        .with(point(statement), statement.batch)
        .with("chain", hex(&statement.chain.0))
        .with("as_of", shown_time(statement.time))
}
