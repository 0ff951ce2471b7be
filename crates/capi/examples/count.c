/*
 * Adds the integers 1 to LAST, one at a time, each kept in an outbox until the server has it.
 *
 *   cc -o count count.c $(pkg-config --cflags --libs ddes)
 *   ./count 127.0.0.1:5566 ~/.config/ddes/identities/sensor SHA256:... counts 10000
 *
 * Kill it at any point and start it again: it goes on where it was, and each integer counts once.
 * The identity is this program's alone, so the server's count says how many it has added.
 */
#include <ddes.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* The longest wait for the server, in milliseconds. */
#define PATIENCE_MS 60000

static int failed(const char *what, ddes_status status) {
  fprintf(stderr, "count: %s: %s\n", what, ddes_last_error());
  return (int)status;
}

static int count(ddes_client *client, uint64_t last) {
  /* What an earlier run has added and the server has not counted yet is in the outbox. */
  ddes_balance balance;
  ddes_status status = ddes_flush(client, PATIENCE_MS, &balance);
  if (status != DDES_OK)
    return failed("flush", status);
  for (uint64_t value = balance.count + 1; value <= last; value++) {
    status = ddes_add(client, (int64_t)value, PATIENCE_MS);
    if (status != DDES_OK)
      return failed("add", status);
    /* It is on the disk from here on. */
    printf("added %" PRIu64 "\n", value);
    fflush(stdout);
  }
  return DDES_OK;
}

int main(int argc, char **argv) {
  char *end = NULL;
  errno = 0;
  uint64_t last = argc == 6 ? strtoull(argv[5], &end, 10) : 0;
  if (argc != 6 || errno != 0 || end == argv[5] || *end != '\0' || last > INT64_MAX) {
    fprintf(stderr, "usage: count HOST:PORT KEY-FILE SHA256:... OUTBOX-FOLDER LAST\n");
    return DDES_USAGE;
  }
  ddes_options options = {0};
  options.size = sizeof options;
  options.server = argv[1];
  options.identity = argv[2];
  options.trust = argv[3];
  options.outbox = argv[4];
  ddes_client *client;
  ddes_status status = ddes_open(&options, &client);
  if (status != DDES_OK)
    return failed("open", status);

  int code = count(client, last);
  ddes_balance balance;
  status = ddes_close(client, code == DDES_OK ? PATIENCE_MS : 0, &balance);
  if (code != DDES_OK)
    return code;
  if (status != DDES_OK)
    return failed("close", status);
  printf("%" PRIu64 " integers, sum %s\n", balance.count, balance.sum);
  return 0;
}
