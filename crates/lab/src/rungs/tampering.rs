//! Rung 13: a sum is changed after it was counted.

use std::path::Path;
use std::sync::Arc;

use ddes_identity::{Namespace, PublicKey, Role};
use ddes_ledger::audit::{self, VerifyError, View};
use ddes_ledger::store::{Folder, StoreError, StoreOptions};
use ddes_ledger::{
    AccountId, Ledger, Operation, OperationOutcome, Statement, Submission, Timestamp,
};
use ddes_wire::{Amount, Amounts, Sequence};

use super::scene::{self, RESULT, classic_keys, values};
use crate::stage::{
    ClassicClient, LabServer, Relay, ServerPlan, TemporaryFolder, V2Client, Way, identity, pass,
    server_key,
};
use crate::{Lab, LabError, Recorded, Trial, hex};

pub(super) const LABEL: &str = "rung 13/classic";
/// What the insider says the sum is.
const FORGED: &str = "1000000";

pub(super) fn classic(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let value = values(&lab.seed, LABEL, 1, 1, 999)[0];
    let mut scene = scene::classic(lab, LABEL, pass)?;
    let sum = scene.client.sum_after(value)?;
    let (sent, told) = (lab.veiled(value), lab.veiled(sum));
    lab.client(format!("sends {sent}, and keeps the 40 as evidence that the sum is {told}."));
    let keys = classic_keys(&lab.seed, LABEL)?;
    let honest = scene.relay.bodies(Way::ToClient, RESULT);
    let Some(honest) = honest.first() else {
        return Ok(Trial::unexpected("no 40 came"));
    };
    lab.does(format!(
        "Is an insider: of the server, or the client itself. Either end has Key1 and Key2. Writes \
         a 40 that says {FORGED}."
    ));
    let forged = keys.seal_result(FORGED);
    let read = |body: &[u8]| {
        keys.shown_by_the_original(body).and_then(|text| String::from_utf8(text).ok())
    };
    let (true_text, forged_text) = (read(honest), read(&forged));
    let said = lab.veiled(true_text.clone().unwrap_or_else(none));
    lab.sees(format!("The true 40 verifies and says {said}."));
    lab.gets(format!(
        "The forged 40 verifies and says {}. No third party can tell which one the server made.",
        forged_text.clone().unwrap_or_else(none)
    ));
    lab.server(&scene.server);
    let address = scene.server.address();
    let end = scene.client.close()?;
    lab.client(format!("disconnects ({end}), and connects again."));
    let mut again = ClassicClient::connect(address, &lab.seed, &format!("{LABEL}/client again"))?;
    let fresh = again.sum_after(0)?;
    lab.sees(format!(
        "After a disconnect the sum is {fresh}: the {} is gone with the session.",
        lab.veiled(value)
    ));
    lab.lesson(
        "An HMAC convinces the other holder of the key, and nobody else: both could have made it. \
         And a sum that is in memory only has no history to check it against.",
    );
    let is_forged = forged_text.as_deref() == Some(FORGED);
    let trial = if is_forged && true_text == Some(value.to_string()) && fresh == 0 {
        Trial::succeeded("a forged sum that verifies like the true one")
    } else {
        Trial::unexpected(format!("{true_text:?}, {forged_text:?}, then {fresh}"))
    };
    let trial = trial.fact("true_40", hex(honest)).fact("forged_40", hex(&forged));
    // An insider has them.
    let trial = trial.fact("key1", hex(&keys.key1)).fact("key2", hex(&keys.key2));
    Ok(trial.fact("sum_after_reconnect", fresh.to_string()).frames(scene.relay.recorded()))
}

fn none() -> String {
    "nothing".into()
}

pub(super) fn v2(lab: &mut Lab<'_>) -> Result<Trial, LabError> {
    let folder = TemporaryFolder::make()?;
    let original = folder.folder("ledger")?;
    let books = HonestBooks::counted(lab, &original, &folder)?;
    // A byte of the history.
    let changed = folder.folder("changed")?;
    copy(&original, &changed)?;
    lab.does("Copies the ledger and changes one integer in the copy, on the disk.");
    change(&changed)?;
    let verified = verify(&changed, &[]);
    let Err(VerifyError::Store(StoreError::Damaged(damage))) = verified else {
        return Ok(Trial::unexpected(format!("the changed copy: {verified:?}")));
    };
    lab.stopped(format!("`ddes ledger verify` finds it: {damage} (P-34)."));
    // A history that hangs together, and is another one.
    lab.does(
        "Rewrites the history instead: takes the ledger as it was before the last integer, and \
         counts another one. All checksums and the chain are right.",
    );
    rewrite(&books.before, books.account)?;
    let alone = verify(&books.before, &[]);
    let Ok(whole) = alone else {
        return Ok(Trial::unexpected(format!("the rewritten copy: {alone:?}")));
    };
    lab.sees(format!(
        "The rewritten ledger is whole by itself: {} integers, sum {}.",
        whole.totals.count, whole.totals.sum
    ));
    lab.does("Hopes that nobody kept a receipt.");
    let key = server_key(&lab.seed, "rung 13/v2").public();
    let signed =
        key.verify_armored(Namespace::Receipt, books.receipt.as_bytes(), &books.signature).is_ok();
    let Ok(statement) = Statement::parse(&books.receipt) else {
        return Ok(Trial::unexpected("the receipt cannot be read"));
    };
    let trial = match verify(&books.before, &[statement]) {
        Err(VerifyError::Receipt { why, .. }) if signed => {
            lab.stopped(format!(
                "The client's receipt, signed by the server, names a batch and the chain at it. \
                 The rewritten ledger does not have it: `ddes ledger verify` says \"{why}\" (P-34, \
                 docs/ledger.md)."
            ));
            Trial::stopped("the chain over all batches, and a signed receipt", "P-34")
                .fact("receipt_says", why)
        }
        other => Trial::unexpected(format!("signed: {signed}, the rewritten copy: {other:?}")),
    };
    let trial = trial.fact("damage", damage.to_string()).fact("receipt", books.receipt);
    let trial = trial.frames(books.frames);
    Ok(trial.fact("signature", books.signature))
}

/// What an honest day left behind.
struct HonestBooks {
    account: PublicKey,
    /// A copy from before the last integer.
    before: std::path::PathBuf,
    receipt: String,
    signature: String,
    /// What passed between the client and the server.
    frames: Vec<Recorded>,
}

impl HonestBooks {
    /// A server with a ledger in `original`, and a client who counts and asks for a receipt.
    fn counted(
        lab: &mut Lab<'_>,
        original: &Path,
        folder: &TemporaryFolder,
    ) -> Result<Self, LabError> {
        let label = "rung 13/v2";
        let client = format!("{label}/client");
        let account = identity(&lab.seed, &client).public();
        let disk = locked(original)?;
        let id = lab.seed.draw(&format!("{label}/ledger id"));
        let (ledger, _) =
            Ledger::open(disk, StoreOptions::default(), id).map_err(|error| store(&error))?;
        let plan = ServerPlan {
            ledger,
            ..ServerPlan::v2(&lab.seed, label, vec![(account, Role::Client)])
        };
        let server = LabServer::start(plan)?;
        lab.scene(format!(
            "A D-DDES/2 server with a ledger on the disk listens on {}, loopback only.",
            server.address()
        ));
        let key = server_key(&lab.seed, label);
        let relay = Relay::start(server.address(), pass)?;
        let mut session = V2Client::connect(relay.address(), &key.public(), &lab.seed, &client)?;
        let values = values(&lab.seed, label, 4, 1, 999);
        let mut before = None;
        for (number, value) in values.iter().enumerate() {
            if number + 1 == values.len() {
                let copied = folder.folder("rewritten")?;
                copy(original, &copied)?;
                before = Some(copied);
            }
            let value = i64::try_from(*value);
            let value = value.map_err(|_| LabError::unplanned("an integer beyond 63 bits"))?;
            let sum = session.sum_after(value)?;
            lab.client(format!("sends {value}, and hears that the sum is {sum}."));
        }
        lab.server(&server);
        let view = View::read(&looked(original)?).map_err(|error| store(&error))?;
        let statement = view.statement(&AccountId::Identity(*account.as_bytes()));
        let receipt = statement.ok_or_else(|| LabError::unplanned("no account"))?.to_string();
        let signature = key.sign_armored(Namespace::Receipt, receipt.as_bytes());
        let signature = signature.map_err(|error| LabError::unplanned(error.to_string()))?;
        lab.client("asks for a receipt: where the account stands, signed by the server.");
        let before = before.ok_or_else(|| LabError::unplanned("no copy was made"))?;
        Ok(Self { account, before, receipt, signature, frames: relay.recorded() })
    }
}

fn store(error: &StoreError) -> LabError {
    LabError::unplanned(error.to_string())
}

fn locked(path: &Path) -> Result<Arc<Folder>, LabError> {
    let folder = Folder::lock(path).map_err(LabError::system("cannot lock the ledger's folder"))?;
    folder.map(Arc::new).ok_or_else(|| LabError::unplanned("the ledger's folder is in use"))
}

fn looked(path: &Path) -> Result<Folder, LabError> {
    Folder::look(path).map_err(LabError::system("cannot open the ledger's folder"))
}

fn copy(from: &Path, to: &Path) -> Result<(), LabError> {
    audit::backup(&looked(from)?, &*locked(to)?, &mut |_, _| {})
        .map(drop)
        .map_err(|error| store(&error))
}

fn verify(path: &Path, statements: &[Statement]) -> Result<audit::Verified, VerifyError> {
    let folder = Folder::look(path);
    let folder =
        folder.map_err(|error| StoreError::Disk { file: path.display().to_string(), error })?;
    audit::verify(&folder, statements, &mut |_, _| {})
}

/// Where the batches of a segment begin (docs/ledger.md).
const BATCHES: usize = 4096;

/// Changes the last byte of a batch in the middle: the integer that it counted.
fn change(ledger: &Path) -> Result<(), LabError> {
    let path = ledger.join("journal-0000000001");
    let failed = "cannot change the copy";
    let mut segment = std::fs::read(&path).map_err(LabError::system(failed))?;
    let tag: Option<[u8; 4]> = segment.get(BATCHES..).and_then(<[u8]>::first_chunk).copied();
    let tag = tag.ok_or_else(|| LabError::unplanned("the segment has no batch"))?;
    let frames = segment.windows(4).enumerate().skip(BATCHES);
    let frames: Vec<_> =
        frames.filter(|(_, bytes)| *bytes == tag).map(|(at, _)| at).take(4).collect();
    let last = frames.get(2).and_then(|next| next.checked_sub(1));
    let byte = last.and_then(|at| segment.get_mut(at));
    // The lowest bit of a zigzag number is its sign.
    *byte.ok_or_else(|| LabError::unplanned("the segment has too few batches"))? ^= 0b10;
    std::fs::write(&path, segment).map_err(LabError::system(failed))
}

/// Counts another integer behind the copy's end, by the ledger's own rules.
fn rewrite(ledger: &Path, account: PublicKey) -> Result<(), LabError> {
    let (mut ledger, _) = Ledger::open(locked(ledger)?, StoreOptions::default(), [0; 16])
        .map_err(|error| store(&error))?;
    let id = AccountId::Identity(*account.as_bytes());
    let opened = ledger.commit(Timestamp(1), &[Operation::Open(id)]);
    let Some(OperationOutcome::Opened(Ok(opening))) = opened.first() else {
        return Err(LabError::unplanned(format!("{opened:?}")));
    };
    let next = opening.proof.standing().last_seq.forward(1);
    let first_seq: Sequence = next.map_err(|_| LabError::unplanned("the account is full"))?;
    let submission = Submission {
        account: opening.account,
        session: opening.session,
        first_seq,
        amounts: Amounts::from_iter([Amount::from(999_999_i64)]),
    };
    match ledger.commit(Timestamp(2), &[Operation::Add(submission)]).first() {
        Some(OperationOutcome::Decided(Ok(_))) => Ok(()),
        other => Err(LabError::unplanned(format!("{other:?}"))),
    }
}
