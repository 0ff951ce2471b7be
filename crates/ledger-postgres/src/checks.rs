//! What a database and its tables must be like to hold a ledger.

use tokio_postgres::Row;

use crate::connection::{DatabaseError, DatabaseTrouble, Demands, get};
use crate::place::{DatabaseUrl, LIMITS};
use crate::schema;

/// What the database says of itself.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseSettings {
    pub(crate) version: i32,
    pub(crate) in_recovery: bool,
    pub(crate) read_only: String,
    pub(crate) fsync: String,
    pub(crate) full_page_writes: String,
    pub(crate) synchronous_commit: String,
    pub(crate) standby_names: String,
    pub(crate) data_checksums: String,
    /// In the order of [`LIMITS`].
    pub(crate) limits: [String; LIMITS.len()],
}

impl DatabaseSettings {
    /// Refuses settings with which a COMMIT does not mean that something is durable.
    pub(crate) fn check(
        &self,
        place: &DatabaseUrl,
        demands: Demands,
        warnings: &mut Vec<String>,
    ) -> Result<(), DatabaseError> {
        if self.version < 150_000 {
            let what =
                format!("PostgreSQL {}: 15 is the oldest that will do", self.version / 10_000);
            return Err(DatabaseError::unfit(what, "a newer PostgreSQL"));
        }
        if self.in_recovery || self.read_only != "off" {
            let what = "the database is a standby, or read-only";
            return Err(DatabaseError::unfit(
                what,
                "name all hosts: the one that can be written is taken",
            ));
        }
        for (name, value) in [("fsync", &self.fsync), ("full_page_writes", &self.full_page_writes)]
        {
            if value != "on" {
                let what =
                    format!("the database runs with {name}={value}: a crash would lose totals");
                return Err(DatabaseError::unfit(what, format!("{name} = on in postgresql.conf")));
            }
        }
        if self.synchronous_commit != place.commit() {
            let what = format!(
                "synchronous_commit is {}, and {} was asked for",
                self.synchronous_commit,
                place.commit()
            );
            let next = "connect to PostgreSQL itself, or to pgbouncer in session mode";
            return Err(DatabaseError::unfit(what, next));
        }
        if demands.limits {
            self.check_limits(place)?;
        }
        if demands.standby && self.standby_names.is_empty() {
            return Err(DatabaseError::unfit(
                "no standby is synchronous (synchronous_standby_names is empty): what is \
                 acknowledged would be on one disk only",
                "start the standby; Patroni: synchronous_mode_strict; or serve without \
                 --require-standby",
            ));
        }
        if self.data_checksums != "on" {
            warnings
                .push("data_checksums is off: damage on its disk goes unnoticed for long".into());
        }
        if !place.is_local() && !place.is_encrypted() {
            warnings.push(
                "the connection to the database is not encrypted: sslmode=verify-full in the URL"
                    .into(),
            );
        }
        Ok(())
    }

    /// Refuses a connection without the limits that were asked for: locks of a server that vanishes
    /// would stop all others.
    fn check_limits(&self, place: &DatabaseUrl) -> Result<(), DatabaseError> {
        let found = LIMITS.iter().zip(&self.limits).find(|((_, asked), found)| asked != found);
        let Some(((name, asked), found)) = found else { return Ok(()) };
        let what = format!("{name} is {found}, and {asked} was asked for");
        let user = place.user();
        let changes =
            LIMITS.map(|(name, asked)| format!("ALTER ROLE {user} SET {name} = '{asked}'"));
        let next = format!(
            "connect to PostgreSQL itself; behind pgbouncer in session mode: {}",
            changes.join("; ")
        );
        Err(DatabaseError::unfit(what, next))
    }
}

/// What the catalogue says that this connection's role may do with a table.
pub(crate) struct TableRights {
    select: bool,
    insert: bool,
    update: bool,
    /// Also of some columns alone.
    insert_any: bool,
    update_any: bool,
    delete: bool,
    truncate: bool,
}

/// Refuses tables that may not hold what is written. `rows` is what the catalogue says of them.
pub(crate) fn check_tables(rows: &[Row], warnings: &mut Vec<String>) -> Result<(), DatabaseError> {
    for (name, ..) in schema::COLUMNS {
        let rights = check_table(rows, name)?;
        let TableRights { select, insert, update, .. } = rights;
        let may = match name {
            "ddes_ledger" | "ddes_authorized" => select,
            "ddes_history" => select && insert,
            _ => select && insert && update,
        };
        if !may {
            let next = "ddes ledger init prints the GRANTs that a server's role needs";
            let what = format!("this role may not read and write the table {name}");
            return Err(DatabaseError::unfit(what, next));
        }
        warnings.extend(rights.excess(name).map(str::to_owned));
    }
    Ok(())
}

impl TableRights {
    /// What a server's role should not be allowed to, and what to do about it.
    fn excess(&self, name: &str) -> Option<&'static str> {
        let can_take = self.delete || self.truncate;
        match name {
            "ddes_history" if self.update_any || can_take => Some(
                "this role may change or delete the history: REVOKE UPDATE, DELETE, TRUNCATE ON \
                 ddes_history, and let another role own the tables",
            ),
            "ddes_authorized" if self.insert_any || self.update_any || can_take => Some(
                "this role may change who may connect: REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON \
                 ddes_authorized, and let another role own the tables",
            ),
            _ => None,
        }
    }
}

/// Refuses a table that is not as it was made. What this connection's role may do with it.
pub(crate) fn check_table(rows: &[Row], name: &str) -> Result<TableRights, DatabaseError> {
    let gone = |DatabaseTrouble(why)| DatabaseError::Unreachable(why);
    let make_anew = "ddes ledger init prints the tables as they must be";
    let wrong = |why: &str| Err(DatabaseError::unfit(format!("the table {name} {why}"), make_anew));
    let is_named = |row: &&Row| get::<String>(row, 0).is_ok_and(|found| found == name);
    let Some(row) = rows.iter().find(is_named) else {
        // A ledger without it was made by hand, or is half removed.
        let is_new = rows.is_empty();
        return if is_new { Err(DatabaseError::NoLedger) } else { wrong("is not there") };
    };
    let expected = schema::COLUMNS.iter().find(|(expected, ..)| *expected == name);
    let Some((_, columns, key)) = expected else { return wrong("is no table of a ledger") };
    let text = |at| get::<Option<String>>(row, at).map_err(gone);
    let flag = |at| get::<bool>(row, at).map_err(gone);
    // A partitioned one is a table too.
    if !matches!(text(1)?.as_deref(), Some("r" | "p")) {
        return wrong("is not a table");
    }
    if text(2)?.as_deref() != Some("p") {
        return wrong("is UNLOGGED or temporary: a crash would empty it");
    }
    if flag(3)? || flag(4)? || flag(5)? {
        return wrong("has rules, triggers or row security: it may not hold what is written");
    }
    if text(6)?.as_deref() != Some(*columns) {
        return wrong("has other columns");
    }
    if text(7)?.as_deref() != Some(*key) {
        return wrong("has another primary key, or none");
    }
    Ok(TableRights {
        select: flag(8)?,
        insert: flag(9)?,
        update: flag(10)?,
        delete: flag(11)?,
        truncate: flag(12)?,
        insert_any: flag(13)?,
        update_any: flag(14)?,
    })
}
