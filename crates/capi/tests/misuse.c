/*
 * What a caller may do wrong, and what goes wrong without it: each is a status with words, and no
 * crash. Run under AddressSanitizer and valgrind by `cargo xtask test --only capi`.
 */
#define _POSIX_C_SOURCE 200809L
#include <ddes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MINUTE_MS 60000
#define THREADS 8
#define ADDS 20

#define CHECK(is_so)                                                                     \
  do {                                                                                   \
    if (!(is_so)) {                                                                      \
      fprintf(stderr, "line %d: %s; last error: %s\n", __LINE__, #is_so, ddes_last_error()); \
      exit(1);                                                                           \
    }                                                                                    \
  } while (0)

/* A status, and a part of what is said of it. */
#define FAILS(call, expected, words)                                                      \
  do {                                                                                    \
    CHECK((call) == (expected));                                                          \
    CHECK(strstr(ddes_last_error(), (words)) != NULL);                                    \
  } while (0)

static const char *server, *key, *trust, *folder;

static ddes_options good(void) {
  ddes_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.server = server;
  options.identity = key;
  options.trust = trust;
  return options;
}

static ddes_client *opened(const ddes_options *options) {
  ddes_client *client = NULL;
  CHECK(ddes_open(options, &client) == DDES_OK);
  CHECK(client != NULL);
  return client;
}

static const char *below(const char *name) {
  static char path[4096];
  CHECK(snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path);
  return path;
}

static void options_that_are_wrong(void) {
  ddes_client *client = (ddes_client *)1;
  ddes_options options = good();
  FAILS(ddes_open(NULL, &client), DDES_USAGE, "options are NULL");
  CHECK(client == NULL);
  FAILS(ddes_open(&options, NULL), DDES_USAGE, "NULL");
  options.size = 0;
  FAILS(ddes_open(&options, &client), DDES_USAGE, "size of 0");
  options.size = sizeof options + 1;
  FAILS(ddes_open(&options, &client), DDES_USAGE, "size");
  options = good();
  options.server = NULL;
  FAILS(ddes_open(&options, &client), DDES_USAGE, "server is NULL");
  options.server = "nowhere";
  FAILS(ddes_open(&options, &client), DDES_USAGE, "no port");
  options.server = "\xff:1";
  FAILS(ddes_open(&options, &client), DDES_USAGE, "server is not UTF-8");
  options = good();
  options.home = folder;
  options.identity = NULL;
  FAILS(ddes_open(&options, &client), DDES_IDENTITY, "no identity 'default'");
  options.identity = "a name";
  FAILS(ddes_open(&options, &client), DDES_USAGE, "name of an identity");
  options.identity = below("\xff-missing");
  FAILS(ddes_open(&options, &client), DDES_IDENTITY, "No such file");
  options.identity = folder;
  FAILS(ddes_open(&options, &client), DDES_IDENTITY, folder);
  options = good();
  options.home = folder;
  options.trust = NULL;
  FAILS(ddes_open(&options, &client), DDES_IDENTITY, "no key of");
  options.trust = "SHA256:short";
  FAILS(ddes_open(&options, &client), DDES_USAGE, "43 characters");
  options.trust = key;
  FAILS(ddes_open(&options, &client), DDES_IDENTITY, key);
  options = good();
  options.suite = "rot13";
  FAILS(ddes_open(&options, &client), DDES_USAGE, "hybrid-3072");
  options = good();
  options.flags = 2;
  FAILS(ddes_open(&options, &client), DDES_USAGE, "flags");
  options = good();
  options.reserved = 1;
  FAILS(ddes_open(&options, &client), DDES_USAGE, "reserved");
  options = good();
  options.outbox = key;
  FAILS(ddes_open(&options, &client), DDES_NO, key);
  CHECK(client == NULL);
}

static void handles_that_are_none(void) {
  ddes_balance balance;
  int64_t value = 1;
  ddes_client *nonsense = (ddes_client *)(uintptr_t)12345;
  FAILS(ddes_add(NULL, 1, -1), DDES_USAGE, "NULL");
  FAILS(ddes_add(nonsense, 1, -1), DDES_USAGE, "not open");
  FAILS(ddes_add_many(nonsense, &value, 1, -1), DDES_USAGE, "not open");
  FAILS(ddes_flush(nonsense, -1, &balance), DDES_USAGE, "not open");
  FAILS(ddes_total(nonsense, -1, &balance), DDES_USAGE, "not open");
  FAILS(ddes_close(nonsense, -1, &balance), DDES_USAGE, "not open");
}

static void integers_that_are_none(void) {
  ddes_options options = good();
  ddes_client *client = opened(&options);
  ddes_balance before, after;
  CHECK(ddes_total(client, MINUTE_MS, &before) == DDES_OK);
  FAILS(ddes_add_many(client, NULL, 1, -1), DDES_USAGE, "NULL");
  char bytes[2 * sizeof(int64_t)] = {0};
  uintptr_t odd = (uintptr_t)bytes | 1;
  FAILS(ddes_add_many(client, (const int64_t *)odd, 1, -1), DDES_USAGE, "aligned");
  int64_t value = 5;
  FAILS(ddes_add_many(client, &value, DDES_ADD_MAX + 1, -1), DDES_USAGE, "at most 8192");
  FAILS(ddes_add_many(client, &value, SIZE_MAX, -1), DDES_USAGE, "at most 8192");
  CHECK(ddes_add_many(client, NULL, 0, -1) == DDES_OK);
  int64_t many[3] = {INT64_MIN, 7, INT64_MIN};
  CHECK(ddes_add_many(client, many, 3, MINUTE_MS) == DDES_OK);
  CHECK(ddes_flush(client, MINUTE_MS, NULL) == DDES_OK);
  CHECK(ddes_total(client, -1, &after) == DDES_OK);
  CHECK(after.count == before.count + 3);
  /* Of 128 bits, which 64 do not hold. */
  CHECK(after.sum_high == -1 && after.sum_low == before.sum_low + 7);
  CHECK(strncmp(after.sum, "-1844674407370955", 17) == 0);
  many[0] = many[2] = INT64_MAX;
  many[1] = -5;
  CHECK(ddes_add_many(client, many, 3, MINUTE_MS) == DDES_OK);
  CHECK(ddes_close(client, MINUTE_MS, &after) == DDES_OK);
  CHECK(after.count == before.count + 6);
  CHECK(after.sum_high == before.sum_high && after.sum_low == before.sum_low);
  FAILS(ddes_add(client, 1, -1), DDES_USAGE, "closed");
  FAILS(ddes_close(client, -1, NULL), DDES_USAGE, "closed");
}

static void an_outbox_of_another_client(void) {
  ddes_options options = good();
  options.outbox = below("locked");
  options.flags = DDES_ADOPT;
  ddes_client *client = opened(&options), *second;
  FAILS(ddes_open(&options, &second), DDES_NO, "in use");
  CHECK(ddes_close(client, MINUTE_MS, NULL) == DDES_OK);
  /* It is free again. */
  CHECK(ddes_close(opened(&options), MINUTE_MS, NULL) == DDES_OK);
}

static void servers_that_are_not_the_one(void) {
  ddes_options options = good();
  options.trust = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
  ddes_client *client = opened(&options);
  FAILS(ddes_flush(client, MINUTE_MS, NULL), DDES_IDENTITY, "key");
  FAILS(ddes_add(client, 1, MINUTE_MS), DDES_IDENTITY, "key");
  FAILS(ddes_close(client, MINUTE_MS, NULL), DDES_IDENTITY, "key");
  /* Nobody listens there. */
  options = good();
  options.server = "127.0.0.1:1";
  options.patience_ms = -1;
  client = opened(&options);
  CHECK(ddes_add(client, 1, MINUTE_MS) == DDES_OK);
  FAILS(ddes_total(client, 0, NULL), DDES_TIMEOUT, "time");
  for (int i = 0; i < 1100; i++) /* More than may wait at once. */
    CHECK(ddes_flush(client, 0, NULL) == DDES_TIMEOUT);
  CHECK(ddes_add(client, 1, MINUTE_MS) == DDES_OK);
  FAILS(ddes_flush(client, 20, NULL), DDES_TIMEOUT, "time");
  FAILS(ddes_close(client, 20, NULL), DDES_TIMEOUT, "time");
  options.patience_ms = 1;
  client = opened(&options);
  FAILS(ddes_flush(client, MINUTE_MS, NULL), DDES_CONNECT, "refused");
  FAILS(ddes_close(client, MINUTE_MS, NULL), DDES_CONNECT, "refused");
}

static void *adding(void *client) {
  for (int i = 0; i < ADDS; i++)
    CHECK(ddes_add(client, 2, MINUTE_MS) == DDES_OK);
  CHECK(ddes_flush(client, MINUTE_MS, NULL) == DDES_OK);
  /* The words are this thread's. */
  FAILS(ddes_add(NULL, 1, -1), DDES_USAGE, "NULL");
  return NULL;
}

static void *closing(void *client) {
  ddes_status status = DDES_OK;
  while (status == DDES_OK)
    status = ddes_add(client, 0, MINUTE_MS);
  CHECK(status == DDES_USAGE);
  return NULL;
}

static void many_threads(void) {
  ddes_options options = good();
  ddes_client *client = opened(&options);
  ddes_balance before, after;
  CHECK(ddes_total(client, MINUTE_MS, &before) == DDES_OK);
  CHECK(ddes_add(client, 1, -1) == DDES_OK);
  FAILS(ddes_open(NULL, NULL), DDES_USAGE, "NULL");
  const char *words = ddes_last_error();
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    CHECK(pthread_create(&threads[i], NULL, adding, client) == 0);
  for (int i = 0; i < THREADS; i++)
    CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(words == ddes_last_error());
  CHECK(ddes_total(client, MINUTE_MS, &after) == DDES_OK);
  CHECK(after.count == before.count + 1 + THREADS * ADDS);
  CHECK(after.sum_low == before.sum_low + 1 + THREADS * ADDS * 2);
  /* One closes it while the others use it. */
  for (int i = 0; i < THREADS; i++)
    CHECK(pthread_create(&threads[i], NULL, closing, client) == 0);
  CHECK(ddes_close(client, MINUTE_MS, &after) == DDES_OK);
  for (int i = 0; i < THREADS; i++)
    CHECK(pthread_join(threads[i], NULL) == 0);
}

static void a_fork(void) {
  ddes_options options = good();
  options.outbox = below("parent");
  options.flags = DDES_ADOPT;
  ddes_client *client = opened(&options);
  CHECK(ddes_add(client, 1, MINUTE_MS) == DDES_OK);
  fflush(NULL);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    FAILS(ddes_add(client, 1, -1), DDES_USAGE, "before a fork");
    FAILS(ddes_flush(client, -1, NULL), DDES_USAGE, "before a fork");
    FAILS(ddes_close(client, -1, NULL), DDES_USAGE, "before a fork");
    /* Its own works, beside the parent's; not with the parent's outbox. */
    ddes_client *own;
    FAILS(ddes_open(&options, &own), DDES_NO, "in use");
    options = good();
    options.server = "127.0.0.1:1";
    own = opened(&options);
    CHECK(ddes_add(own, 1, MINUTE_MS) == DDES_OK);
    FAILS(ddes_close(own, 0, NULL), DDES_TIMEOUT, "time");
    /* Without this process' end, at which valgrind would miss the parent's threads. */
    execl("/bin/true", "true", (char *)NULL);
    _exit(1);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CHECK(ddes_add(client, -1, MINUTE_MS) == DDES_OK);
  CHECK(ddes_close(client, MINUTE_MS, NULL) == DDES_OK);
}

/* A thread that has ended is woken no more: SIGPIPE would end this program. */
static void many_clients(void) {
  ddes_options options = good();
  options.server = "127.0.0.1:1";
  for (int i = 0; i < 50; i++) {
    ddes_client *client = opened(&options);
    CHECK(ddes_close(client, i % 2, NULL) == DDES_TIMEOUT);
  }
}

int main(int argc, char **argv) {
  CHECK(argc == 5);
  server = argv[1];
  key = argv[2];
  trust = argv[3];
  folder = argv[4];
  CHECK(strlen(ddes_version()) >= 5);
  CHECK(strcmp(ddes_last_error(), "") == 0);
  options_that_are_wrong();
  handles_that_are_none();
  integers_that_are_none();
  an_outbox_of_another_client();
  servers_that_are_not_the_one();
  many_threads();
  a_fork();
  many_clients();
  puts("each is a status");
  return 0;
}
