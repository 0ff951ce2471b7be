//! The page and the metrics beside a server: where they are, who may act, and what they ask of this
//! process.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use ddes_identity::PublicKey;
use ddes_ledger::Statement;
use ddes_server::ServerHandle;
use ddes_web::{
    About, AccessToken, ConfigChange, ConfigEntry, ConfigurationView, Draining, Events, LogLevel,
    Operations, ReceiptFault, Reloaded, VerificationFinding, Web, WebError, WebHandle, WebOptions,
};
use ddes_wire::saturating;
use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::board::Board;
use super::control::{Change, Changes, Control};
use super::lines;
use crate::args::{HTTP_DEFAULT, HttpPlace, ServeArgs};
use crate::config::{Origin, Setting};
use crate::failure::{Code, Failure};
use crate::home::{Home, open_at_once};
use crate::ledger::check_receipt;
use crate::level::EventLevel;
use crate::replace::{New, create};
use crate::screen::Line;

/// Open files of the page apart from its connections: its listener, its event loop, what it reads.
const FILES_KEPT: u64 = 16;
/// Fewer connections are no use to a browser.
const CONNECTIONS_MIN: u64 = 8;
const TOKEN_BYTES_MAX: u64 = 4096;
/// What to do about a token that cannot be used, of the home and beside it.
const HOME_ELSEWHERE: &str = "--http off serves no page; --home DIR puts keys elsewhere";
const READ_ELSEWHERE: &str = "--http-read-token FILE, in a folder that this user can write";

/// How many of `most` open files the page takes; 0 if that would be too few for it.
pub(crate) fn files(args: &ServeArgs, most: u64) -> u64 {
    if args.http.http == Some(HttpPlace::Off) {
        return 0;
    }
    // The ledger and the clients come first.
    let files = (most / 8).min(ddes_web::CONNECTIONS_MAX as u64 + FILES_KEPT);
    if files < FILES_KEPT + CONNECTIONS_MIN { 0 } else { files }
}

/// Binds the address. If nobody named it, what is wrong with it is said, and the server goes on
/// without a page.
pub(super) fn bind(
    args: &ServeArgs,
    home: &Home,
    files: u64,
    events: &Events,
) -> Result<(Option<Web>, Option<Line>), Failure> {
    let place = args.http.http.unwrap_or(HTTP_DEFAULT);
    let HttpPlace::At(listen) = place else { return Ok((None, None)) };
    let bound = || {
        if files == 0 {
            return Err(Failure::new(Code::No, "this user may have too few open files for a page")
                .next("ulimit -Hn 1024, and ddes serve"));
        }
        let options = WebOptions {
            listen,
            allow_plain: args.http.http_plain,
            hosts: args.http.http_host.clone(),
            token: token(&home.http_token(), HOME_ELSEWHERE)?,
            read_token: read_token(args, home)?,
            events: events.clone(),
            connections_max: saturating::to_usize(files - FILES_KEPT),
        };
        Web::bind(options).map_err(|error| failure(&error))
    };
    match bound() {
        Ok(web) => Ok((Some(web), None)),
        Err(failure) if args.http.http.is_none() && failure.code() != Code::Identity => {
            Ok((None, Some(lines::http_off(&failure))))
        }
        Err(failure) => Err(failure),
    }
}

/// Why the page cannot be served.
pub(super) fn failure(error: &WebError) -> Failure {
    match error {
        WebError::Plain(address) => plain(*address),
        WebError::Listen(_, cause) => {
            let failure = Failure::new(Code::Connect, format!("no page: {error}"));
            if cause.kind() == io::ErrorKind::AddrInUse {
                failure
                    .cause("another server has its page there")
                    .next("--http 127.0.0.1:0     (takes a free port)")
            } else {
                failure.next("--http ADDR:PORT with an address of this machine, or --http off")
            }
        }
        WebError::NoWatch | WebError::Start(_) => {
            Failure::system("no page", error).next("--http off")
        }
    }
}

/// Other machines would read the token on its way.
pub(crate) fn plain(address: SocketAddr) -> Failure {
    Failure::new(Code::Usage, format!("--http {}", WebError::Plain(address)))
        .cause("there is no TLS in front of it, as far as this command knows")
        .next(format!(
            "--http-plain, behind a proxy that speaks TLS or in a network that you trust; or \
             --http 127.0.0.1:{0}, and from elsewhere: ssh -L {0}:127.0.0.1:{0} HOST",
            address.port()
        ))
}

/// What programs send that may only read, where that is wanted.
fn read_token(args: &ServeArgs, home: &Home) -> Result<Option<AccessToken>, Failure> {
    let Some(path) = &args.http.http_read_token else { return Ok(None) };
    // It was asked for: the server does not go on without it, as it would without a page.
    let read = token(path, READ_ELSEWHERE).map_err(|failure| failure.with_code(Code::Identity))?;
    if !read.is(&token(&home.http_token(), HOME_ELSEWHERE)?) {
        return Ok(Some(read));
    }
    let what = format!("--http-read-token {} holds the token that may act", path.display());
    Err(Failure::new(Code::Identity, what)
        .cause("whoever is given it to read could end sessions and stop the server")
        .next("--http-read-token FILE, a file that does not exist yet: a token is made in it"))
}

/// The secret of this file, which is its owner's alone. Made at first use.
fn token(path: &Path, elsewhere: &str) -> Result<AccessToken, Failure> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::new(Code::No, format!("{}: {error}", path.display())).next(elsewhere)
    };
    if !path.try_exists().map_err(|error| unusable(&error))? {
        let token = AccessToken::random().map_err(|error| unusable(&error))?;
        let text = Zeroizing::new(format!("{}\n", *token.to_hex()));
        // Another server of this home may have made it meanwhile: then that one is read.
        create(path, text.as_bytes(), New::PRIVATE).map_err(|error| unusable(&error))?;
    }
    let file = open_at_once(path).map_err(|error| unusable(&error))?;
    let mode = file.metadata().map_err(|error| unusable(&error))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(shared(path, mode));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(TOKEN_BYTES_MAX).read_to_string(&mut text).map_err(|error| unusable(&error))?;
    AccessToken::parse(text.trim()).ok_or_else(|| {
        Failure::new(Code::Identity, format!("{} holds no token", path.display()))
            .next(format!("rm {}     (the next start makes another)", path.display()))
    })
}

fn shared(path: &Path, mode: u32) -> Failure {
    let shown = path.display();
    Failure::new(Code::Identity, format!("the token {shown} is open to others (mode {mode:03o})"))
        .cause("anyone who can read it has the right that it gives")
        .next(format!("rm {shown}     (the next start makes another), or chmod 600 {shown}"))
}

/// Ends the server, whoever asks for it: readiness fails first, and the console says so.
#[derive(Clone)]
pub(super) struct Stopper {
    handle: ServerHandle,
    draining: Draining,
    told: Arc<Notify>,
}

impl Stopper {
    /// And what hears of each stop.
    pub(super) fn new(handle: ServerHandle, draining: Draining) -> (Self, Arc<Notify>) {
        let told = Arc::new(Notify::new());
        (Self { handle, draining, told: Arc::clone(&told) }, told)
    }

    /// The first time lets sessions end, the second time ends at once.
    pub(super) fn stop(&self) {
        self.draining.begin();
        self.handle.stop();
        // The console says so once, when it is not busy.
        self.told.notify_one();
    }
}

/// What the page asks of this process.
pub(super) struct ServeOperations {
    pub(super) stopper: Stopper,
    pub(super) control: Control,
    pub(super) board: Board,
    /// Of the server, which signs receipts.
    pub(super) key: PublicKey,
}

impl Operations for ServeOperations {
    fn config(&self) -> ConfigurationView {
        let entries = self.control.entries().iter().map(entry).collect();
        let file = self.control.file().map(|file| file.display().to_string());
        ConfigurationView { entries, file }
    }

    fn reload(&self) -> Result<Reloaded, String> {
        let Changes { changed, needs_restart, file: _ } =
            self.control.reload().map_err(|failure| said(&failure))?;
        let change = |change: Change| {
            let Change { key, from, to } = change;
            ConfigChange { key: key.into(), from, to }
        };
        Ok(Reloaded {
            changed: changed.into_iter().map(change).collect(),
            needs_restart: needs_restart.iter().map(|change| change.key.into()).collect(),
        })
    }

    fn set_log_level(&self, level: LogLevel) -> Result<(), String> {
        let level = match level {
            LogLevel::Error => EventLevel::Error,
            LogLevel::Warn => EventLevel::Warn,
            LogLevel::Info => EventLevel::Info,
            LogLevel::Debug => EventLevel::Debug,
        };
        self.control.set_log_level(level).map_err(|failure| said(&failure))
    }

    fn read_receipt(&self, text: &str) -> Result<Statement, ReceiptFault> {
        check_receipt(text, &self.key)
    }

    fn verified(&self, finding: &VerificationFinding, kept: io::Result<()>) {
        self.board.show(&lines::verified(finding));
        if let Err(error) = kept {
            self.board.show(&lines::verification_unkept(&error));
        }
    }

    fn stop(&self) {
        self.stopper.stop();
    }
}

fn entry(entry: &Setting) -> ConfigEntry {
    ConfigEntry {
        key: entry.key.name.into(),
        value: entry.value.clone(),
        origin: match entry.origin {
            Origin::Flag => ddes_web::ValueOrigin::Flag,
            Origin::Environment => ddes_web::ValueOrigin::Environment,
            Origin::File { .. } => ddes_web::ValueOrigin::File,
            Origin::Default => ddes_web::ValueOrigin::Default,
            Origin::Operator => ddes_web::ValueOrigin::Operator,
        },
        r#where: entry.place(),
        reloadable: entry.key.is_reloadable(),
    }
}

/// What happened, and what to do, in one text.
fn said(failure: &Failure) -> String {
    let next = failure.remedy().map_or_else(String::new, |next| format!("; try: {next}"));
    format!("{}{next}", failure.what())
}

/// Starts the page of a server.
pub(super) fn start(
    web: Web,
    about: About,
    handle: ServerHandle,
    operations: ServeOperations,
) -> Result<Arc<WebHandle>, Failure> {
    let draining = operations.stopper.draining.clone();
    web.start(about, handle, Arc::new(operations), draining)
        .map(Arc::new)
        .map_err(|error| failure(&error))
}

/// A link that opens the page, to print.
pub(super) fn link(web: Option<&WebHandle>) -> Line {
    let Some(web) = web else {
        return lines::no_link("this server has no page (--http)");
    };
    match web.login_link() {
        Ok(link) => lines::link(&link),
        Err(error) => lines::no_link(&error.to_string()),
    }
}
