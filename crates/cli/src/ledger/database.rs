//! A ledger in a database, which several servers share.

use std::path::Path;
use std::sync::Arc;

use ddes_ledger::audit;
use ddes_ledger_postgres::{
    AuthorizedRow, AuthorizedTaker, DatabaseError, DatabaseUrl, DatabaseUrlError,
};
use ddes_server::DatabaseKeys;
use ddes_wire::shown::hex;

use crate::failure::{Code, Failure};
use crate::home;

/// The database that `--ledger` names; `None` if it names a folder.
pub(crate) fn database(path: &Path) -> Option<Result<DatabaseUrl, Failure>> {
    let text = path.to_string_lossy();
    let of_place = |error: DatabaseUrlError| {
        // Without the URL: it may have a password in it.
        Failure::new(Code::Usage, format!("--ledger: {error}")).next(error.next)
    };
    DatabaseUrl::is_meant(&text).then(|| DatabaseUrl::parse(&text).map_err(of_place))
}

/// The name of a ledger, as receipts and homes have it.
pub(crate) fn name(id: &[u8; 16]) -> String {
    hex(&audit::name_of(id))
}

/// Hands what is read of the keys that a database lists to whoever decides by them.
pub(crate) fn taker(keys: &DatabaseKeys) -> AuthorizedTaker {
    let keys = keys.clone();
    Arc::new(move |reading| match reading {
        Ok(rows) => set(&keys, &rows),
        Err(why) => keys.fail(&why),
    })
}

/// The keys that a database lists, once their rows are read.
pub(crate) fn keys(place: &DatabaseUrl, rows: &[AuthorizedRow]) -> DatabaseKeys {
    let keys = DatabaseKeys::new(&place.to_string());
    set(&keys, rows);
    keys
}

fn set(keys: &DatabaseKeys, rows: &[AuthorizedRow]) {
    keys.set(rows.iter().map(|row| (&*row.identity, &*row.line)));
}

/// A database that cannot be used.
pub(crate) fn of_connect(place: &DatabaseUrl, error: DatabaseError) -> Failure {
    match error {
        DatabaseError::Unreachable(why) => {
            Failure::new(Code::Connect, format!("the database {place}: {why}"))
                .cause("it is not running, or its address, user or password is another")
                .next(format!("psql {}", home::quoted(Path::new(&place.to_string()))))
        }
        DatabaseError::Unfit { what, next } => {
            Failure::new(Code::No, format!("the database {place}: {what}")).next(next)
        }
        DatabaseError::NoLedger => {
            Failure::new(Code::No, format!("there is no ledger in the database {place}"))
                .cause("its tables were not made, or are in another schema or database")
                .next(format!(
                    "ddes ledger init{}",
                    home::named("--ledger", Path::new(&place.to_string()))
                ))
        }
        DatabaseError::OtherLedger { found } => Failure::new(
            Code::Integrity,
            format!("the database {place} holds another ledger, {}", name(&found)),
        )
        .cause("the hosts of the URL are not one database and its standbys")
        .next("--ledger with the hosts of one database"),
    }
}
