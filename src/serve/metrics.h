/* metrics.h - what has happened, in Prometheus' text format. The loop's thread only. */
#ifndef CRIA_SERVE_METRICS_H
#define CRIA_SERVE_METRICS_H

#include "base/buf.h"
#include "serve/adapters.h"

struct models;

enum histogram_id {
    HIST_FIRST_TOKEN, /* arrival to first token */
    HIST_NEXT_TOKEN,  /* between tokens of a choice */
    HIST_REQUEST,     /* arrival to the last byte handed to the socket */
    N_HISTOGRAMS,
};
enum { HIST_BUCKETS = 14, METRICS_STATUSES = 16 };

struct histogram {
    int64_t n[HIST_BUCKETS + 1]; /* the last: above all bounds */
    double sum;
};

struct metrics {
    struct histogram hist[N_HISTOGRAMS];
    int64_t n_status[METRICS_STATUSES]; /* by row of the table in metrics.c */
    int64_t n_cached_tok, n_cancelled, n_slow_readers, n_late_headers;
};

void metrics_observe(struct metrics *m, enum histogram_id id, double seconds);
void metrics_count_status(struct metrics *m, int status);
/* Mean seconds of the requests so far; 0 without any. */
double metrics_mean_s(const struct metrics *m);

struct metrics_now {
    int n_connections, max_connections;
    struct models *models;
    const struct adapters *adapters;
};
/* Appends the page. */
void metrics_write(const struct metrics *m, const struct metrics_now *now, struct buf *out);

#endif
