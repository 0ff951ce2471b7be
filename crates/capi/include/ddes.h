/*
 * libddes: integers that count exactly once, over networks that nobody trusts.
 *
 *   ddes_options options = {0};
 *   options.size = sizeof options;
 *   options.server = "counter.example:5566";
 *   options.identity = "sensor";
 *   options.outbox = "counts";
 *   ddes_client *client;
 *   if (ddes_open(&options, &client) != DDES_OK) ... ddes_last_error() ...
 *   ddes_add(client, 42, -1);
 *   ddes_balance balance;
 *   ddes_close(client, -1, &balance);
 *
 * examples/count.c is a whole program. `pkg-config --cflags --libs ddes` is what a compiler needs.
 *
 * Times. A timeout_ms below 0 waits without limit. After DDES_TIMEOUT what was asked for is not done,
 * and will not be. 0 does not wait for the client's thread either, so that it is DDES_TIMEOUT nearly
 * always: a program that must not wait asks from a thread of its own.
 *
 * Errors. Each call returns a status; ddes_last_error() has words for it. A client whose delivery
 * has ended (a wrong key, say) fails each call with the status of that end: close it. The outbox
 * keeps what was not counted.
 *
 * Threads. A client may be used by any number of threads at once, and closed by any of them; a call
 * that another thread waits in fails then. Handles are never used twice, so a client that was closed
 * is DDES_USAGE and no crash. A client has a thread of its own. It blocks no signal and handles none:
 * block in it what the program wants to get elsewhere, before ddes_open, as with any thread. No call
 * is async-signal-safe.
 *
 * Forks. A client belongs to the process that opened it. In a child of fork() each call with it is
 * DDES_USAGE and touches nothing; open another one there, with an outbox of its own. The child holds
 * the lock of the parent's outbox until it ends or executes another program.
 *
 * Memory. Pointers must lead to what their types say, or be NULL where that is allowed: a NULL that
 * is not is DDES_USAGE. Clients have to be closed, and nothing has to be freed. The library stays in
 * memory after dlclose().
 *
 * What may change and what will not: docs/stability.md.
 */


#ifndef DDES_H
#define DDES_H

/* Made by cbindgen from crates/capi/src/exported.rs: `cargo xtask capi` writes it. */

#include <stddef.h>
#include <stdint.h>

/**
 * The most integers of one ddes_add_many.
 */
#define DDES_ADD_MAX 8192

/**
 * A flag of ddes_options: a new outbox may continue an account that has counted integers before,
 * those of an outbox that was lost for example. Without it the client ends with DDES_INTEGRITY,
 * because the new integers may be the same ones.
 */
#define DDES_ADOPT 1

/**
 * The bytes of a sum in decimal digits, with a sign and the NUL at its end, and some to spare.
 */
#define DDES_SUM_BYTES 48

/**
 * What became of a call. 0 to 6 are the exit codes of the command `ddes`.
 */
typedef enum {
  /**
   * It was done.
   */
  DDES_OK = 0,
  /**
   * The answer is no: the disk is full, say, or another process has the outbox.
   */
  DDES_NO = 1,
  /**
   * A mistake of the caller: an argument, an option, a client that is not open.
   */
  DDES_USAGE = 2,
  /**
   * No connection, or the session ended.
   */
  DDES_CONNECT = 3,
  /**
   * The identity or the server's key is not the right one.
   */
  DDES_IDENTITY = 4,
  /**
   * Something was changed on its way, in the outbox or in the server's ledger.
   */
  DDES_INTEGRITY = 5,
  /**
   * It took too long.
   */
  DDES_TIMEOUT = 6,
  /**
   * A fault of this library. Please report it.
   */
  DDES_INTERNAL = 101,
} ddes_status;

/**
 * A client: a number in the shape of a pointer, which leads to no memory.
 */
typedef struct ddes_client ddes_client;

/**
 * What a client is opened with. Set all of it to 0, then `size`, then what is wanted: what is 0
 * has its default. Nothing of it is used after ddes_open has returned.
 */
typedef struct {
  /**
   * sizeof(ddes_options), by which a library knows for which header its caller was compiled.
   */
  size_t size;
  /**
   * The server, HOST:PORT. Must be given.
   */
  const char *server;
  /**
   * The folder of `ddes` with keys and known servers. NULL: that of DDES_HOME, else the one that
   * the command uses.
   */
  const char *home;
  /**
   * Whose integers they are: the name of an identity of home, as `ddes key new NAME` makes it;
   * or the path of a private key in OpenSSH's format, which has a slash. The path of a .pub file
   * stands for the key that the ssh-agent holds. NULL: `default`.
   */
  const char *identity;
  /**
   * The passphrase of the private key, where it has one.
   */
  const char *passphrase;
  /**
   * The key that the server has to prove: `SHA256:...`, as `ddes serve` prints it; a public key,
   * `ssh-ed25519 AAAA...`; or the path of a file with one, or of a list as `ddes trust` keeps
   * it. NULL: the list of home.
   */
  const char *trust;
  /**
   * A folder that keeps integers until they are counted, made where there is none: each counts
   * exactly once, also if this program is killed. It belongs to one identity and one server, and
   * to one process at a time. NULL: they are kept in memory.
   */
  const char *outbox;
  /**
   * hybrid, hybrid-3072, hybrid-4096; for study ddes, ddes-3072, ddes-4096. NULL: hybrid.
   */
  const char *suite;
  /**
   * The longest wait for the connection, for the handshake and for an answer, each. 0: 10 s.
   */
  int64_t timeout_ms;
  /**
   * How long the client tries to get a session before it ends. Negative: without limit. 0:
   * without limit too where there is an outbox, and 60 s without one.
   */
  int64_t patience_ms;
  /**
   * DDES_ADOPT, or 0.
   */
  uint32_t flags;
  /**
   * 0.
   */
  uint32_t reserved;
} ddes_options;

/**
 * What the server has counted of an identity, over the account's whole life.
 */
typedef struct {
  /**
   * How many integers.
   */
  uint64_t count;
  /**
   * Their exact sum, of 128 bits in two's complement: sum_high * 2^64 + sum_low.
   */
  uint64_t sum_low;
  /**
   * The upper half. -1 or 0 where the sum fits 64 bits with a sign.
   */
  int64_t sum_high;
  /**
   * The same sum in decimal digits, as `ddes total` prints it.
   */
  char sum[DDES_SUM_BYTES];
} ddes_balance;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Opens a client. It connects in a thread of its own, whether or not there is anything to send;
 * this does not wait for it. The server's key is checked there: a wrong one fails the calls that
 * follow. On failure `*client` is NULL.
 */
ddes_status ddes_open(const ddes_options *options, ddes_client **client);

/**
 * Takes one integer. With an outbox it is on the disk when this returns DDES_OK, and counts
 * exactly once from then on. Waits at most `timeout_ms` (see above) while the outbox holds 2^20
 * that are not counted, and fails with DDES_TIMEOUT then. Unless it returns DDES_OK the integer
 * was not taken, but after DDES_NO for a disk that fails it may have been.
 */
ddes_status ddes_add(ddes_client *client, int64_t value, int64_t timeout_ms);

/**
 * Takes `count` integers, at most DDES_ADD_MAX: all or none. Else as ddes_add; one call for many
 * costs about as much as for one.
 */
ddes_status ddes_add_many(ddes_client *client,
                          const int64_t *values,
                          size_t count,
                          int64_t timeout_ms);

/**
 * Waits until everything that was added before is counted, at most `timeout_ms`. What is not
 * counted by then still will be. `balance` may be NULL.
 */
ddes_status ddes_flush(ddes_client *client, int64_t timeout_ms, ddes_balance *balance);

/**
 * What the server holds, as it stated it last. Waits for the first session, at most `timeout_ms`,
 * but not for integers that are not counted yet.
 */
ddes_status ddes_total(ddes_client *client, int64_t timeout_ms, ddes_balance *balance);

/**
 * As ddes_flush, then ends the session; the server states the balance once more. The client is
 * closed whatever this returns: any further call with it is DDES_USAGE. After DDES_TIMEOUT the
 * outbox keeps what is not counted, for the next client; without an outbox it is lost. The
 * server's last word is waited for in addition, at most as long as for any of its answers.
 */
ddes_status ddes_close(ddes_client *client, int64_t timeout_ms, ddes_balance *balance);

/**
 * What the last call that failed in this thread has to say, in English. It is there until another
 * call fails in this thread, or the thread ends; it is never NULL.
 */
const char *ddes_last_error(void);

/**
 * The version of the library, for example "0.1.0".
 */
const char *ddes_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* DDES_H */
