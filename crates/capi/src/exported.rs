//! The functions of `ddes.h`, and the only place where a caller's pointers are followed. With
//! `unsafe`: C says nothing of how long memory lives.
//!
//! What can be checked is: NULL, alignment, lengths, UTF-8, handles. That memory is there is the
//! caller's to see to; tests of this file run under AddressSanitizer and valgrind.

#![allow(
    unsafe_code,
    reason = "a library for C exports names and follows pointers; the programs of tests/ call each \
              function under AddressSanitizer and valgrind"
)]
#![allow(clippy::missing_safety_doc, reason = "the header says what its reader owes")]

use std::ffi::{CStr, OsString, c_char};
use std::path::PathBuf;
use std::ptr;

use ddes_client::{Balance, PendingCall};
use zeroize::Zeroizing;

use crate::failure::{self, CallError, guarded};
use crate::registry;
use crate::settings::{OpenSettings, wait};

/// The most integers of one ddes_add_many.
pub const DDES_ADD_MAX: usize = 8192;

/// A flag of ddes_options: a new outbox may continue an account that has counted integers before,
/// those of an outbox that was lost for example. Without it the client ends with DDES_INTEGRITY,
/// because the new integers may be the same ones.
pub const DDES_ADOPT: u32 = 1;

/// The bytes of a sum in decimal digits, with a sign and the NUL at its end, and some to spare.
pub const DDES_SUM_BYTES: usize = 48;

const _: () = assert!(DDES_ADD_MAX == ddes_client::ADD_MAX);

/// What became of a call. 0 to 6 are the exit codes of the command `ddes`.
#[allow(clippy::enum_variant_names, reason = "C has one namespace")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum DdesStatus {
    /// It was done.
    DdesOk = 0,
    /// The answer is no: the disk is full, say, or another process has the outbox.
    DdesNo = 1,
    /// A mistake of the caller: an argument, an option, a client that is not open.
    DdesUsage = 2,
    /// No connection, or the session ended.
    DdesConnect = 3,
    /// The identity or the server's key is not the right one.
    DdesIdentity = 4,
    /// Something was changed on its way, in the outbox or in the server's ledger.
    DdesIntegrity = 5,
    /// It took too long.
    DdesTimeout = 6,
    /// A fault of this library. Please report it.
    DdesInternal = 101,
}

/// A client: a number in the shape of a pointer, which leads to no memory.
pub struct DdesClient {
    _opaque: [u8; 0],
}

/// What a client is opened with. Set all of it to 0, then `size`, then what is wanted: what is 0
/// has its default. Nothing of it is used after ddes_open has returned.
#[repr(C)]
pub struct DdesOptions {
    /// sizeof(ddes_options), by which a library knows for which header its caller was compiled.
    pub size: usize,
    /// The server, HOST:PORT. Must be given.
    pub server: *const c_char,
    /// The folder of `ddes` with keys and known servers. NULL: that of DDES_HOME, else the one that
    /// the command uses.
    pub home: *const c_char,
    /// Whose integers they are: the name of an identity of home, as `ddes key new NAME` makes it;
    /// or the path of a private key in OpenSSH's format, which has a slash. The path of a .pub file
    /// stands for the key that the ssh-agent holds. NULL: `default`.
    pub identity: *const c_char,
    /// The passphrase of the private key, where it has one.
    pub passphrase: *const c_char,
    /// The key that the server has to prove: `SHA256:...`, as `ddes serve` prints it; a public key,
    /// `ssh-ed25519 AAAA...`; or the path of a file with one, or of a list as `ddes trust` keeps
    /// it. NULL: the list of home.
    pub trust: *const c_char,
    /// A folder that keeps integers until they are counted, made where there is none: each counts
    /// exactly once, also if this program is killed. It belongs to one identity and one server, and
    /// to one process at a time. NULL: they are kept in memory.
    pub outbox: *const c_char,
    /// hybrid, hybrid-3072, hybrid-4096; for study ddes, ddes-3072, ddes-4096. NULL: hybrid.
    pub suite: *const c_char,
    /// The longest wait for the connection, for the handshake and for an answer, each. 0: 10 s.
    pub timeout_ms: i64,
    /// How long the client tries to get a session before it ends. Negative: without limit. 0:
    /// without limit too where there is an outbox, and 60 s without one.
    pub patience_ms: i64,
    /// DDES_ADOPT, or 0.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
}

/// What the server has counted of an identity, over the account's whole life.
#[repr(C)]
pub struct DdesBalance {
    /// How many integers.
    pub count: u64,
    /// Their exact sum, of 128 bits in two's complement: sum_high * 2^64 + sum_low.
    pub sum_low: u64,
    /// The upper half. -1 or 0 where the sum fits 64 bits with a sign.
    pub sum_high: i64,
    /// The same sum in decimal digits, as `ddes total` prints it.
    pub sum: [c_char; DDES_SUM_BYTES],
}

/// Opens a client. It connects in a thread of its own, whether or not there is anything to send;
/// this does not wait for it. The server's key is checked there: a wrong one fails the calls that
/// follow. On failure `*client` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddes_open(
    options: *const DdesOptions,
    client: *mut *mut DdesClient,
) -> DdesStatus {
    guarded(|| {
        if client.is_null() {
            return Err(CallError::usage("the place for the client is NULL"));
        }
        // SAFETY: not NULL, and the header demands a place for one pointer. It need not be aligned.
        unsafe { client.write_unaligned(ptr::null_mut()) };
        // SAFETY: as the header demands of options.
        let settings = unsafe { settings(options)? };
        let handle = registry::keep(settings.start()?)?;
        // SAFETY: as above.
        unsafe { client.write_unaligned(ptr::without_provenance_mut(handle)) };
        Ok(())
    })
}

/// Takes one integer. With an outbox it is on the disk when this returns DDES_OK, and counts
/// exactly once from then on. Waits at most `timeout_ms` (see above) while the outbox holds 2^20
/// that are not counted, and fails with DDES_TIMEOUT then. Unless it returns DDES_OK the integer
/// was not taken, but after DDES_NO for a disk that fails it may have been.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddes_add(
    client: *mut DdesClient,
    value: i64,
    timeout_ms: i64,
) -> DdesStatus {
    guarded(|| add(client, &[value], timeout_ms))
}

/// Takes `count` integers, at most DDES_ADD_MAX: all or none. Else as ddes_add; one call for many
/// costs about as much as for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddes_add_many(
    client: *mut DdesClient,
    values: *const i64,
    count: usize,
    timeout_ms: i64,
) -> DdesStatus {
    guarded(|| {
        if count > DDES_ADD_MAX {
            return Err(CallError::usage(format!(
                "{count} integers: at most {DDES_ADD_MAX} are taken at once"
            )));
        }
        if count == 0 {
            return add(client, &[], timeout_ms);
        }
        if values.is_null() || !values.is_aligned() {
            return Err(CallError::usage("the integers are NULL, or not aligned"));
        }
        // SAFETY: neither NULL nor unaligned, and far below isize::MAX bytes. The header demands
        // `count` integers there that nobody changes meanwhile. Nothing keeps the slice.
        let values = unsafe { std::slice::from_raw_parts(values, count) };
        add(client, values, timeout_ms)
    })
}

/// Waits until everything that was added before is counted, at most `timeout_ms`. What is not
/// counted by then still will be. `balance` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddes_flush(
    client: *mut DdesClient,
    timeout_ms: i64,
    balance: *mut DdesBalance,
) -> DdesStatus {
    guarded(|| {
        let counted = in_time(registry::find(client.addr())?.begin_flush(), timeout_ms)?;
        // SAFETY: as the header demands of balance.
        unsafe { state(counted, balance) };
        Ok(())
    })
}

/// What the server holds, as it stated it last. Waits for the first session, at most `timeout_ms`,
/// but not for integers that are not counted yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddes_total(
    client: *mut DdesClient,
    timeout_ms: i64,
    balance: *mut DdesBalance,
) -> DdesStatus {
    guarded(|| {
        let stated = in_time(registry::find(client.addr())?.begin_total(), timeout_ms)?;
        // SAFETY: as the header demands of balance.
        unsafe { state(stated, balance) };
        Ok(())
    })
}

/// As ddes_flush, then ends the session; the server states the balance once more. The client is
/// closed whatever this returns: any further call with it is DDES_USAGE. After DDES_TIMEOUT the
/// outbox keeps what is not counted, for the next client; without an outbox it is lost. The
/// server's last word is waited for in addition, at most as long as for any of its answers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ddes_close(
    client: *mut DdesClient,
    timeout_ms: i64,
    balance: *mut DdesBalance,
) -> DdesStatus {
    guarded(|| {
        // It is gone at the end of this call, closed or not.
        let client = registry::remove(client.addr())?;
        let counted = in_time(client.begin_close(), timeout_ms)?;
        // SAFETY: as the header demands of balance.
        unsafe { state(counted, balance) };
        Ok(())
    })
}

/// What the last call that failed in this thread has to say, in English. It is there until another
/// call fails in this thread, or the thread ends; it is never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn ddes_last_error() -> *const c_char {
    failure::last()
}

/// The version of the library, for example "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn ddes_version() -> *const c_char {
    VERSION.as_ptr()
}

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

fn add(client: *mut DdesClient, values: &[i64], timeout_ms: i64) -> Result<(), CallError> {
    let client = registry::find(client.addr())?;
    in_time(client.begin_add(values.to_vec())?, timeout_ms)
}

/// The answer, where it comes in time. What was not begun by then is taken back; what was is
/// nearly done.
fn in_time<T>(mut call: PendingCall<T>, timeout_ms: i64) -> Result<T, CallError> {
    let Some(most) = wait(timeout_ms) else { return Ok(call.answered()?) };
    if let Some(answer) = call.wait(most) {
        return Ok(answer?);
    }
    if call.withdraw() {
        return Err(CallError::new(DdesStatus::DdesTimeout, "not done in the time that was given"));
    }
    Ok(call.answered()?)
}

/// Copies what the options name.
///
/// # Safety
///
/// `options` is NULL or leads to as many bytes as its first field says, and each pointer in it is
/// NULL or leads to a text with a NUL at its end.
unsafe fn settings(options: *const DdesOptions) -> Result<OpenSettings, CallError> {
    if options.is_null() {
        return Err(CallError::usage("the options are NULL"));
    }
    // SAFETY: not NULL, and any options begin with their size.
    let size = unsafe { options.cast::<usize>().read_unaligned() };
    if size != size_of::<DdesOptions>() {
        return Err(CallError::usage(format!(
            "the options have a size of {size}, and this library knows {}: set options.size to \
             sizeof(ddes_options), and use the header of this library",
            size_of::<DdesOptions>()
        )));
    }
    // SAFETY: it has that size, and its fields are numbers and pointers, which any bytes are.
    let options = unsafe { options.read_unaligned() };
    if options.reserved != 0 {
        return Err(CallError::usage("options.reserved is not 0"));
    }
    // SAFETY: as demanded of each pointer of the options.
    let text = |name, from| unsafe { text(name, from) };
    // SAFETY: the same.
    let path = |name, from| unsafe { path(name, from) };
    // SAFETY: the same.
    let passphrase = unsafe { bytes(options.passphrase) };
    Ok(OpenSettings {
        server: text("server", options.server)?,
        home: path("home", options.home)?.map(PathBuf::from),
        identity: path("identity", options.identity)?,
        passphrase: passphrase.map(|secret| Zeroizing::new(secret.to_vec())),
        trust: path("trust", options.trust)?,
        outbox: path("outbox", options.outbox)?.map(PathBuf::from),
        suite: text("suite", options.suite)?,
        timeout_ms: options.timeout_ms,
        patience_ms: options.patience_ms,
        flags: options.flags,
    })
}

/// # Safety
///
/// `from` is NULL or leads to bytes with a NUL at their end, which stay as they are for as long as
/// the result is used.
unsafe fn bytes<'a>(from: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: not NULL, and the rest as demanded.
    (!from.is_null()).then(|| unsafe { CStr::from_ptr(from) }.to_bytes())
}

/// # Safety
///
/// As for [`bytes`], during the call.
unsafe fn text(name: &str, from: *const c_char) -> Result<Option<String>, CallError> {
    // SAFETY: as demanded; what is borrowed is copied here.
    let bytes = unsafe { bytes(from) };
    let text = bytes.map(|bytes| String::from_utf8(bytes.to_vec())).transpose();
    text.map_err(|_| CallError::usage(format!("the option {name} is not UTF-8")))
}

/// # Safety
///
/// As for [`bytes`], during the call.
#[cfg(unix)]
unsafe fn path(_: &str, from: *const c_char) -> Result<Option<OsString>, CallError> {
    use std::os::unix::ffi::OsStringExt;
    // SAFETY: as demanded; what is borrowed is copied here.
    let bytes = unsafe { bytes(from) };
    Ok(bytes.map(|bytes| OsString::from_vec(bytes.to_vec())))
}

/// # Safety
///
/// As for [`bytes`], during the call.
#[cfg(not(unix))]
unsafe fn path(name: &str, from: *const c_char) -> Result<Option<OsString>, CallError> {
    // SAFETY: as demanded.
    Ok(unsafe { text(name, from)? }.map(OsString::from))
}

/// Writes a balance, where it is wanted.
///
/// # Safety
///
/// `to` is NULL or leads to a place for a balance.
unsafe fn state(balance: Balance, to: *mut DdesBalance) {
    if to.is_null() {
        return;
    }
    let sum = balance.sum.get();
    let mut digits = [0; DDES_SUM_BYTES];
    // All but the last, which stays NUL: 128 bits have 39 digits.
    for (place, digit) in digits.iter_mut().take(DDES_SUM_BYTES - 1).zip(sum.to_string().bytes()) {
        *place = c_char::from_ne_bytes([digit]);
    }
    let [low, high] = halves(sum);
    let stated = DdesBalance {
        count: balance.count,
        sum_low: low,
        sum_high: high.cast_signed(),
        sum: digits,
    };
    // SAFETY: not NULL, and the rest as demanded. It need not be aligned.
    unsafe { to.write_unaligned(stated) };
}

/// The lower and the upper 64 bits.
fn halves(sum: i128) -> [u64; 2] {
    let bytes = sum.to_le_bytes();
    let (low, high) = bytes.split_at(8);
    let half = |bytes: &[u8]| bytes.iter().rev().fold(0, |half, byte| half << 8 | u64::from(*byte));
    [half(low), half(high)]
}

#[cfg(test)]
mod tests {
    use ddes_client::Total;

    use super::*;

    fn stated(sum: i128) -> (u64, i64, String) {
        let mut balance = std::mem::MaybeUninit::<DdesBalance>::uninit();
        // SAFETY: a place for a balance.
        unsafe { state(Balance { count: 7, sum: Total::new(sum) }, balance.as_mut_ptr()) };
        // SAFETY: it was written.
        let balance = unsafe { balance.assume_init() };
        assert_eq!(balance.count, 7);
        // SAFETY: it ends with a NUL.
        let digits = unsafe { CStr::from_ptr(balance.sum.as_ptr()) };
        (balance.sum_low, balance.sum_high, digits.to_str().unwrap().to_owned())
    }

    /// 2^64 = 18446744073709551616, 2^127 = 170141183460469231731687303715884105728.
    #[test]
    fn a_sum_of_128_bits_is_stated_in_halves_and_in_digits() {
        for (sum, low, high, digits) in [
            (0, 0, 0, "0"),
            (-1, u64::MAX, -1, "-1"),
            (1 << 64, 0, 1, "18446744073709551616"),
            (i128::MAX, u64::MAX, i64::MAX, "170141183460469231731687303715884105727"),
            (i128::MIN, 0, i64::MIN, "-170141183460469231731687303715884105728"),
        ] {
            assert_eq!(stated(sum), (low, high, digits.to_owned()));
        }
    }

    #[test]
    fn a_panic_is_a_status_and_says_so() {
        assert_eq!(guarded(|| panic!("a fault")), DdesStatus::DdesInternal);
        // SAFETY: never NULL, with a NUL at its end.
        let said = unsafe { CStr::from_ptr(ddes_last_error()) }.to_str().unwrap();
        assert!(said.contains("a fault of this library"), "{said}");
    }
}
