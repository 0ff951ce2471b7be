//! The command line. Names here are a contract: scripts rely on them.

pub(crate) mod address;
mod capture;
mod client;
#[cfg(unix)]
mod config;
#[cfg(unix)]
mod http;
mod keys;
#[cfg(unix)]
mod ledger;
mod operation;
#[cfg(unix)]
mod serve;
pub(crate) mod trust;
#[cfg(unix)]
mod watch;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ddes_ffdhe::NamedGroup;
use ddes_wire::v2::{GroupSize, Suite};

#[cfg(unix)]
use crate::bench::args::BenchCommand;
#[cfg(unix)]
use crate::calc::args::CalcCommand;
use crate::explain::args::ExplainArgs;
#[cfg(unix)]
use crate::lab::args::LabArgs;
use crate::terminal;
pub(crate) use capture::{
    BYTES_MAX, CAPTURE_BYTES_MAX, CaptureArgs, InspectArgs, SessionRecordArgs,
};
pub(crate) use client::{ClientArgs, ConnectArgs, SendArgs, TotalArgs};
#[cfg(unix)]
pub(crate) use config::{ConfigCheckArgs, ConfigCommand, RunningArgs, ShowArgs};
#[cfg(unix)]
pub(crate) use http::{HTTP_DEFAULT, HttpArgs, HttpPlace};
#[cfg(unix)]
pub(crate) use keys::{AuthorizeArgs, AuthorizeCommand, RoleName};
pub(crate) use keys::{IdentityArgs, KeyCommand, TrustCommand};
#[cfg(unix)]
pub(crate) use ledger::{
    BackupArgs, BooksArgs, ExportArgs, Format, InitArgs, LedgerCommand, LsArgs, MigrateArgs,
    RaiseArgs, ReceiptArgs, RestoreArgs, TotalsArgs, VerifyArgs,
};
#[cfg(unix)]
pub(crate) use operation::{CheckArgs, DoctorArgs};
pub(crate) use operation::{GenerateCommand, Shell, VersionArgs};
#[cfg(unix)]
pub(crate) use serve::ServeArgs;
#[cfg(unix)]
pub(crate) use watch::{ApiArgs, DemoArgs, DemoClientArgs, TailArgs, TopArgs};

/// Connections of a server at a time, where the flag says nothing else.
pub(crate) const MAX_CONNECTIONS: u32 = 4096;

const EXAMPLES: &str = "\
Examples:
  ddes demo                      a server and three clients that count, to look at and to kill
  ddes serve                     serve on 127.0.0.1:5566; `exit` stops it
  ddes connect                   the interactive client: 30 sends an integer, 50 disconnects
  ddes send 42 50                print 42, then 92
  seq 1 100 | ddes send -        one integer a line; prints the total
  ddes total                     what is counted so far
  ddes lab                       break the original's wire, and see what stops the same attack
  ddes explain FILE -o PAGE      a page of a session: send --capture FILE --capture-secrets

Exit codes: 0 success, 1 refused or failed, 2 usage, 3 cannot connect, 4 identity or server key,
5 integrity, 6 timeout, 130 interrupted, 141 the reader of the output has gone.

Manual pages and completions: ddes generate man DIR, ddes generate completions SHELL.";

/// Exact running totals from any number of clients, over a Double-DES session.
#[derive(Debug, Parser)]
#[command(name = "ddes", version, after_help = EXAMPLES, max_term_width = 100,
          styles = terminal::HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[cfg(unix)]
    /// Serve clients until `exit`, Ctrl-C or SIGTERM
    #[command(after_help = "\
Examples:
  ddes serve
  ddes serve --listen 0.0.0.0:5566 --idle-secs 300
  ddes serve --listen 127.0.0.1:0 --json      first line: the address taken
  ddes serve --classic                        the original's clients too: NOT SECURE
  ddes serve --ledger memory                  totals end with the server
  ddes serve --http off                       no page, no metrics

Totals are in the ledger, a folder of the home; what a client is told is on the disk. Who may \
connect: the identities of the same home, and those of `ddes authorize`; nobody else.

Lines for people go to a terminal; a pipe, a file or a service's log gets one JSON object a line, \
as with --json. An error that ends it is said on standard error, with --json on standard output. \
--quiet leaves out the hints on standard error and, on a terminal, the lines below warnings; \
--verbose adds those of debug. --log-level chooses the lines of a log, and of a terminal without \
either.

Each setting is a flag, a variable DDES_NAME or a key of the configuration file, in this order; \
`ddes config show --origin` says which. SIGHUP and `ddes reload` read the file again.

On a terminal the console takes: exit, sessions, end ID, end all, totals, link, log LEVEL, \
reload, help. Ctrl-D does not stop the server.

The page is on http://127.0.0.1:5580: whoever is on this machine reads it; `link` (or `ddes link`) \
gives the right to act.")]
    Serve(Box<ServeArgs>),
    #[cfg(unix)]
    /// Show and check the configuration of `ddes serve`
    #[command(subcommand)]
    Config(ConfigCommand),
    #[cfg(unix)]
    /// Let the running server of this home read its configuration again
    #[command(after_help = "\
Examples:
  ddes reload
  ddes reload --home /var/lib/ddes
  ddes reload --pid 4711                      where the home has several servers

All of it applies, or nothing: an error in the file changes nothing, names the line, and is exit
code 1. It prints what changed, and what changes with the next start only. SIGHUP does the same; the
server's own lines say how it went.")]
    Reload(RunningArgs),
    #[cfg(unix)]
    /// Print a link that opens the running server's page with the right to act
    #[command(after_help = "\
Examples:
  ddes link
  sudo -u ddes ddes link --home /var/lib/ddes     the packaged server's
  xdg-open \"$(ddes link --quiet)\"

It works once, within ten minutes. The server's console has the same as `link`.")]
    Link(RunningArgs),
    /// Talk to a server at a prompt: 30 sends an integer, 50 disconnects
    #[command(after_help = "\
Examples:
  ddes connect
  ddes connect --server counter.example:5566 --as kitchen
  ddes connect --classic                      to the original's server: NOT SECURE

At the prompt: 30 asks for an integer; 30 N, or N alone, sends N; 30 30 and 30 50 send 30 and 50;
50, quit, exit or Ctrl-D disconnects; help or ? says so.")]
    Connect(ConnectArgs),
    /// Send integers and print the running total
    #[command(after_help = "\
Examples:
  ddes send 42 50                        prints the total after each: 42, then 92
  ddes send - < counts.txt               one integer a line; prints the last total
  ddes send --json 42 50                 one JSON object for each integer
  ddes send --outbox DIR - < counts.txt  each counts exactly once, across cuts, kills and restarts
  ddes send --outbox DIR                 delivers what an outbox holds

An outbox holds each integer and its number on disk until the server's ledger covers it. After \
a crash, --resume goes on in the same input where the outbox stopped taking it; --fresh starts \
with another input. An input that came to its end is not resumed: sending it again counts it \
again. Without an outbox nothing counts twice within the command's life, and no more is \
promised.")]
    Send(SendArgs),
    /// Print the total of an identity
    #[command(after_help = "\
Examples:
  ddes total
  ddes total --as kitchen --json

This opens a session: another one of the same identity ends.")]
    Total(TotalArgs),
    #[cfg(unix)]
    /// Verify, read, copy and restore the ledger of a server, and sign receipts
    #[command(
        subcommand,
        after_help = "\
verify, totals, ls, export, backup and receipt only read: they work while the server runs."
    )]
    Ledger(LedgerCommand),
    /// Create and show keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Known servers and their keys
    #[command(subcommand)]
    Trust(TrustCommand),
    #[cfg(unix)]
    /// Clients that may connect to the servers of this home, or to all on one database
    #[command(after_help = "\
Examples:
  ddes authorize 'ssh-ed25519 AAAA... anna@laptop'
  ddes authorize anna.pub --name anna --expires 20271231Z
  ddes authorize ops.pub --role operator
  ddes authorize ls
  ddes authorize rm anna
  ddes authorize anna.pub --ledger postgres://owner@db1:5432,db2:5432/ddes

A running server takes the change up by itself; sessions of a removed key end.")]
    Authorize(AuthorizeArgs),
    #[cfg(unix)]
    /// Watch a server in the terminal: rates, totals, refusals, sessions
    #[command(after_help = "\
Examples:
  ddes top
  ddes top --http 127.0.0.1:8080
  ddes top --once                 one snapshot; so does: ddes top | cat
  ddes top --json                 one JSON object a second

It shows what the server's page shows, from the same API (ddes serve --http).
Keys: arrows, PgUp and PgDn move; s sorts by the next column, r reverses; / filters;
Enter shows the messages of a session; e ends it; Tab shows refusals by network;
? explains; q quits.
Other machines: ssh -L 5580:127.0.0.1:5580 HOST, then ddes top.")]
    Top(TopArgs),
    #[cfg(unix)]
    /// Print a server's events as they happen: who connects, counts, is refused, leaves
    #[command(after_help = "\
Examples:
  ddes tail
  ddes tail --event turned_away,access_fault     who is not let in, and why
  ddes tail --json | jq -c 'select(.event == \"ended\") | [.peer, .cause]'

The events are the lines of the server's log (docs/events.md), also those that its --log-level
leaves out but for values, from the same API as its page. The first line, `following`, says that
from here on none is missed. A server that is lost is waited for.
Other machines: ssh -L 5580:127.0.0.1:5580 HOST, then ddes tail.")]
    Tail(TailArgs),
    #[cfg(unix)]
    /// Try it: a server and three clients that count, in a temporary folder
    #[command(after_help = "\
Examples:
  ddes demo
  ddes demo --no-open             print the page's link only
  ddes demo --duration 10 --json  for programs

It uses free ports and a home of its own. Kill a client or the server with kill -9:
the demo starts it again, and each total stays exact. Ctrl-C ends the demo and
removes everything.")]
    Demo(DemoArgs),
    #[cfg(unix)]
    #[command(hide = true)]
    DemoClient(DemoClientArgs),
    #[cfg(unix)]
    /// Break the classic wire, and see what stops the same on D-DDES/2
    #[command(after_help = "\
Examples:
  ddes lab                        what it is, and the thirteen rungs
  ddes lab run 1                  the first rung
  ddes lab run all --no-pause     all of them
  ddes lab run 9 --bits 28        find both keys of a session; Ctrl-C stops, --resume continues

Everything happens in this process, on 127.0.0.1. docs/course makes ten exercises of it.")]
    Lab(LabArgs),
    #[cfg(unix)]
    /// Load a server, measure it and check its sums
    #[command(subcommand)]
    Bench(BenchCommand),
    #[cfg(unix)]
    /// Work out what the protocol computes, step by step, on bytes that you give
    #[command(
        subcommand,
        after_help = "\
Inputs are HEX, text:TEXT, @FILE or - (hexadecimal text in a file, or on standard input), or \
raw:FILE (the bytes of a file as they are). Each calculation prints its formula, its inputs by \
name, its steps and its result; -q the result alone, --python a line of Python that gives the \
same result.

This is for study: others of this machine see what is in a command line, so give it no secret \
that is still in use."
    )]
    Calc(CalcCommand),
    /// Relay connections and write what passes to a pcapng file; with any client and server
    #[command(after_help = "\
Examples:
  ddes capture --listen 127.0.0.1:5567 -o session.pcapng
  ddes send --server 127.0.0.1:5567 42                  goes through it
  ddes inspect session.pcapng
  ddes capture --listen 127.0.0.1:0 -o - | wireshark -k -i -

It needs no privilege: the packets are made up around the bytes that passed. It holds no secrets,
so that what it writes is what an eavesdropper sees. For captures that can be decrypted:
  ddes serve --capture FILE --capture-secrets           or connect, or send

A client that knows the server's key for its own address asks again for the relay's.")]
    Capture(CaptureArgs),
    /// Show a capture: every frame and field and, with secrets, what is inside
    #[command(after_help = "\
Examples:
  ddes inspect session.pcapng
  ddes inspect --stream 2 --full session.pcapng
  ddes inspect --secrets session.secrets tcpdump.pcap
  tcpdump -i lo -w - port 5566 | ddes inspect -
  ddes inspect --json session.pcapng                    one JSON object a line

It reads pcapng and pcap files of tcpdump, Wireshark and ddes, of both wires. With secrets it
decrypts, and checks every HMAC, tag, token, signature and sum. Exit code 5 if a check fails, or if
the secrets are of another session. docs/capture.md has the format of secrets.")]
    Inspect(InspectArgs),
    /// Make one page of a captured session: every byte, every calculation, and the attack
    #[command(after_help = "\
Examples:
  ddes send --classic --capture a.pcapng --capture-secrets 42 50 42
  ddes explain a.pcapng -o a.html
  ddes explain a.pcapng -o a.html --compare b.pcapng    both wires side by side
  ddes explain a.pcapng -o a.html --without-secrets     what an eavesdropper sees

The page is one file that asks nobody for anything: open it in a browser, print it, keep it. With
secrets it lets whoever has it read the session. docs/explain.md describes it.")]
    Explain(ExplainArgs),
    #[cfg(unix)]
    /// Tell in one line whether a server answers and proves its key; for containers and Nagios
    #[command(after_help = "\
Examples:
  ddes check
  ddes check --server counter.example:5566 --trust SHA256:... --nagios
  ddes check --http http://127.0.0.1:5580     is it ready to serve?

It asks one port. Without --http that is --server, DDES_SERVER or 127.0.0.1:5566: it connects as far
as the server's proof of its key and opens no session, so it needs no identity. A key that is known
for the address, or named by --trust, must be the one that is proven. Without either, the key that
is proven is shown. With --http it is the server's HTTP port, which says whether the server serves.")]
    Check(CheckArgs),
    #[cfg(unix)]
    /// Look over this machine and home as a server's: each finding with a remedy
    #[command(after_help = "\
Examples:
  ddes doctor
  ddes doctor --home /var/lib/ddes            the packaged server's, as root or ddes

It takes the settings that `ddes serve` would take here: flags, DDES_ variables, the configuration
file, the defaults. A service has variables of its own (/etc/default/ddes): give what differs.
It looks at ports, limits, permissions, keys, lists, ledger, disk, engines, kernel and clock. It
writes one file of 80 KiB in the ledger's folder, to measure the disk, and removes it. Exit code 1
if anything fails.")]
    Doctor(DoctorArgs),
    Version(VersionArgs),
    /// Write manual pages and completions; for packagers
    #[command(subcommand, hide = true)]
    Generate(GenerateCommand),
}

/// Where keys, trust and data are kept.
#[derive(Args, Clone, Debug)]
pub(crate) struct HomeArgs {
    /// Folder of keys, trust and data [default: the XDG directories: ~/.config/ddes and, for data,
    /// ~/.local/share/ddes]
    #[arg(long, global = true, value_name = "DIR", env = "DDES_HOME")]
    pub(crate) home: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GroupName {
    Ffdhe2048,
    Ffdhe3072,
    Ffdhe4096,
}

impl From<GroupName> for NamedGroup {
    fn from(name: GroupName) -> Self {
        match name {
            GroupName::Ffdhe2048 => Self::Ffdhe2048,
            GroupName::Ffdhe3072 => Self::Ffdhe3072,
            GroupName::Ffdhe4096 => Self::Ffdhe4096,
        }
    }
}

/// The suites by their names; those of `ddes` are for study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SuiteName {
    Hybrid,
    #[value(name = "hybrid-3072")]
    Hybrid3072,
    #[value(name = "hybrid-4096")]
    Hybrid4096,
    Ddes,
    #[value(name = "ddes-3072")]
    Ddes3072,
    #[value(name = "ddes-4096")]
    Ddes4096,
}

impl SuiteName {
    /// What a server takes where none is named.
    pub(crate) const DEFAULT: [Self; 3] = [Self::Hybrid, Self::Hybrid3072, Self::Hybrid4096];
}

impl From<SuiteName> for Suite {
    fn from(name: SuiteName) -> Self {
        match name {
            SuiteName::Hybrid => Self::Hybrid(GroupSize::Bits2048),
            SuiteName::Hybrid3072 => Self::Hybrid(GroupSize::Bits3072),
            SuiteName::Hybrid4096 => Self::Hybrid(GroupSize::Bits4096),
            SuiteName::Ddes => Self::Ddes(GroupSize::Bits2048),
            SuiteName::Ddes3072 => Self::Ddes(GroupSize::Bits3072),
            SuiteName::Ddes4096 => Self::Ddes(GroupSize::Bits4096),
        }
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct OutputArgs {
    /// One JSON object a line on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print only the result and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}
