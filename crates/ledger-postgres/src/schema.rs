//! The tables, what may be done with them, and what a database must be like to hold a ledger.

/// The tables, and the rights of a server's role.
///
/// `role`, which is made if it is not there, may read and write accounts, and append to the
/// history: it can change and delete nothing of that. It may read the keys that may connect, and
/// add none. `id` is the ledger's, 16 bytes.
pub fn definition(role: &str, id: &[u8; 16]) -> String {
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let (role, text) = (quoted(role), format!("'{}'", role.replace('\'', "''")));
    format!(
        "\
BEGIN;
DO $role$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {text}) THEN
        CREATE ROLE {role} LOGIN;
    END IF;
END $role$;
CREATE TABLE ddes_ledger (
    id bytea PRIMARY KEY CHECK (octet_length(id) = 16),
    format integer NOT NULL
);
CREATE TABLE ddes_account (
    account bytea PRIMARY KEY CHECK (octet_length(account) IN (8, 32)),
    version bigint NOT NULL CHECK (version >= 0),
    newest_session bigint NOT NULL,
    last_session bigint NOT NULL,
    last_seq bigint NOT NULL,
    sum numeric(39,0) NOT NULL,
    min numeric(20,0) NOT NULL,
    max numeric(20,0) NOT NULL,
    first_time bigint NOT NULL,
    last_time bigint NOT NULL,
    chain bytea NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE ddes_history (
    account bytea NOT NULL,
    entry bigint NOT NULL,
    time bigint NOT NULL,
    session bigint NOT NULL,
    first_seq bigint NOT NULL,
    n integer NOT NULL,
    amounts bytea NOT NULL,
    sum numeric(39,0) NOT NULL,
    chain bytea NOT NULL,
    PRIMARY KEY (account, entry)
);
CREATE TABLE ddes_authorized (
    identity bytea PRIMARY KEY CHECK (octet_length(identity) = 32),
    line text NOT NULL
);
INSERT INTO ddes_ledger (id, format) VALUES ('\\x{id}', {FORMAT});
GRANT SELECT ON ddes_ledger TO {role};
GRANT SELECT, INSERT, UPDATE ON ddes_account TO {role};
GRANT SELECT, INSERT ON ddes_history TO {role};
GRANT SELECT ON ddes_authorized TO {role};
COMMIT;
"
    )
}

/// What a program of this release reads and writes.
pub(crate) const FORMAT: i32 = 1;
/// A ledger that another store is filling, and that is not whole yet.
pub(crate) const FILLING: i32 = 0;
/// A ledger that went to another store. It is evidence: its history stays to be read.
pub(crate) const MOVED: i32 = -1;

/// Refuses every further entry, and with it everything that would be acknowledged.
pub(crate) const CLOSE: &str = "\
SET LOCAL lock_timeout = '10min'; \
 ALTER TABLE ddes_history DROP CONSTRAINT IF EXISTS ddes_moved, \
 ADD CONSTRAINT ddes_moved CHECK (false) NOT VALID";

/// A name in SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Makes accounts that are not there, locks them, and states them.
pub(crate) const READ: &str = "\
INSERT INTO ddes_account AS a (account, version, newest_session, last_session, last_seq, sum, min, \
 max, first_time, last_time, chain) \
SELECT k, 0, 0, 0, 0, 0, 0, 0, 0, 0, c FROM unnest($1::bytea[], $2::bytea[]) u(k, c) ORDER BY k \
ON CONFLICT (account) DO UPDATE SET version = a.version \
RETURNING a.account, a.version, a.newest_session, a.last_session, a.last_seq, a.sum, a.min, a.max, \
 a.first_time, a.last_time, a.chain";

/// Writes the rows that still have the version and the chain that the decision was made on.
pub(crate) fn swap() -> String {
    let condition = if cfg!(ddes_mutant = "swap-unconditional") {
        "true"
    } else if cfg!(ddes_mutant = "swap-unfenced") {
        "a.last_seq <= u.last_seq"
    } else {
        "a.version = u.prior AND a.chain = u.prior_chain"
    };
    format!(
        "UPDATE ddes_account a SET version = u.version, newest_session = u.newest_session, \
         last_session = u.last_session, last_seq = u.last_seq, sum = u.sum, min = u.min, \
         max = u.max, first_time = u.first_time, last_time = u.last_time, chain = u.chain \
         FROM unnest($1::bytea[], $2::int8[], $3::bytea[], $4::int8[], $5::int8[], $6::int8[], \
         $7::int8[], $8::numeric[], $9::numeric[], $10::numeric[], $11::int8[], $12::int8[], \
         $13::bytea[]) u(account, prior, prior_chain, version, newest_session, last_session, \
         last_seq, sum, min, max, first_time, last_time, chain) \
         WHERE a.account = u.account AND {condition} RETURNING a.account"
    )
}

/// Appends to the history.
pub(crate) fn append() -> String {
    // The key of the history would stop two of the bugs that are put in on purpose.
    let conflict = if IS_UNGUARDED { " ON CONFLICT DO NOTHING" } else { "" };
    format!(
        "INSERT INTO ddes_history (account, entry, time, session, first_seq, n, amounts, sum, \
         chain) SELECT * FROM unnest($1::bytea[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], \
         $6::int4[], $7::bytea[], $8::numeric[], $9::bytea[]){conflict}"
    )
}

pub(crate) const IS_UNGUARDED: bool =
    cfg!(any(ddes_mutant = "swap-unconditional", ddes_mutant = "swap-unfenced"));

/// The keys that may connect, if they differ from those with the digest `$1`, and their rows have
/// at most `$2` bytes; beside them a row with their bytes and digest. One statement, so one
/// snapshot. Content is compared: what a failover took back, or somebody wrote by hand, is a change
/// too. A hash is enough: whoever writes the table may grant what they like.
pub(crate) const AUTHORIZED: &str = "\
WITH found AS (SELECT coalesce(sum(64 + octet_length(identity) + coalesce(octet_length(line), 0)), 0)::int8 AS bytes, \
 count(*) || '/' || coalesce(sum(hashtextextended( \
  encode(identity, 'hex') || ' ' || coalesce(line, '') COLLATE \"C\", 0)), 0) AS digest FROM ddes_authorized) \
SELECT NULL::bytea, NULL::text, bytes, digest FROM found \
UNION ALL \
SELECT a.identity, a.line, NULL, NULL FROM ddes_authorized a, found \
 WHERE found.digest <> $1 AND found.bytes <= $2";

/// One writer at a time, beside all readers.
pub(crate) const LOCK_AUTHORIZED: &str = "LOCK TABLE ddes_authorized IN SHARE ROW EXCLUSIVE MODE";

pub(crate) const AUTHORIZE: &str = "\
INSERT INTO ddes_authorized (identity, line) VALUES ($1, $2) \
ON CONFLICT (identity) DO UPDATE SET line = EXCLUDED.line";

pub(crate) const AUTHORIZED_BYTES: &str = "\
SELECT coalesce(sum(64 + octet_length(identity) + coalesce(octet_length(line), 0)), 0)::int8 FROM ddes_authorized";

pub(crate) const UNAUTHORIZE: &str = "DELETE FROM ddes_authorized WHERE identity = $1";

/// The settings of a server and a session that decide whether a COMMIT means anything.
pub(crate) const SETTINGS: &str = "\
SELECT current_setting('server_version_num')::int4, pg_is_in_recovery(), \
 current_setting('transaction_read_only'), current_setting('fsync'), \
 current_setting('full_page_writes'), current_setting('synchronous_commit'), \
 current_setting('synchronous_standby_names'), current_setting('data_checksums'), \
 current_setting('idle_in_transaction_session_timeout'), current_setting('lock_timeout'), \
 current_setting('statement_timeout')";

/// Whether the tables of a ledger are there.
pub(crate) const IS_THERE: &str = "SELECT to_regclass('ddes_ledger') IS NOT NULL";

/// The tables as the catalogue has them.
pub(crate) const TABLES: &str = "\
SELECT c.relname::text, c.relkind::text, c.relpersistence::text, \
 EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid), \
 EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal), \
 c.relrowsecurity, \
 (SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' \
   ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 \
   AND NOT a.attisdropped), \
 (SELECT string_agg(a.attname, ', ' ORDER BY k.at) FROM pg_index i, \
   unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, at) JOIN pg_attribute a \
   ON a.attnum = k.attnum WHERE i.indrelid = c.oid AND i.indisprimary AND i.indisvalid \
   AND a.attrelid = c.oid), \
 has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'INSERT'), \
 has_table_privilege(c.oid, 'UPDATE'), has_table_privilege(c.oid, 'DELETE'), \
 has_table_privilege(c.oid, 'TRUNCATE'), has_any_column_privilege(c.oid, 'INSERT'), \
 has_any_column_privilege(c.oid, 'UPDATE') \
FROM pg_class c WHERE c.oid IN (to_regclass('ddes_ledger'), to_regclass('ddes_account'), \
 to_regclass('ddes_history'), to_regclass('ddes_authorized'))";

/// Each table's columns and primary key.
pub(crate) const COLUMNS: [(&str, &str, &str); 4] = [
    ("ddes_ledger", "id bytea, format integer", "id"),
    (
        "ddes_account",
        "account bytea, version bigint, newest_session bigint, last_session bigint, \
         last_seq bigint, sum numeric(39,0), min numeric(20,0), max numeric(20,0), \
         first_time bigint, last_time bigint, chain bytea",
        "account",
    ),
    (
        "ddes_history",
        "account bytea, entry bigint, time bigint, session bigint, first_seq bigint, n integer, \
         amounts bytea, sum numeric(39,0), chain bytea",
        "account, entry",
    ),
    ("ddes_authorized", "identity bytea, line text", "identity"),
];
