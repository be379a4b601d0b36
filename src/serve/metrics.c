/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics.c - counters, gauges and histograms as rows, and the page that Prometheus reads.
 *
 * The engine's figures come from its atomics, so the page never waits for a step. Names follow
 * Prometheus' rules: a prefix, the unit at the end, _total for counters.
 */
#include "serve/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/checked.h"
#include "serve/models.h"

static const double bounds[HIST_BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                            0.25,  0.5,    1,     2.5,  5,     10,   60};

static const struct {
    const char *name, *help;
} hist_rows[N_HISTOGRAMS] = {
    [HIST_FIRST_TOKEN] = {"cria_time_to_first_token_seconds",
                          "Arrival of a request to its first token."},
    [HIST_NEXT_TOKEN] = {"cria_inter_token_seconds", "Between two tokens of an answer."},
    [HIST_REQUEST] = {"cria_request_seconds", "Arrival of a request to the end of its answer."},
};

static const int statuses[METRICS_STATUSES] = {200, 204, 400, 401, 403, 404, 405,
                                               413, 429, 499, 500, 503, 507, 0};

void metrics_observe(struct metrics *m, enum histogram_id id, double seconds)
{
    struct histogram *h = &m->hist[id];
    int i = 0;
    while (i < HIST_BUCKETS && seconds > bounds[i]) i++;
    h->n[i]++;
    h->sum += seconds;
}

void metrics_count_status(struct metrics *m, int status)
{
    int i = 0;
    while (statuses[i] && statuses[i] != status) i++;
    m->n_status[i]++;
}

double metrics_mean_s(const struct metrics *m)
{
    const struct histogram *h = &m->hist[HIST_REQUEST];
    int64_t n = 0;
    for (int i = 0; i <= HIST_BUCKETS; i++) n += h->n[i];
    return n ? h->sum / (double)n : 0;
}

static void write_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_histogram(struct buf *out, const struct histogram *h, const char *name,
                            const char *help)
{
    int64_t n = 0;
    write_head(out, name, "histogram", help);
    for (int i = 0; i < HIST_BUCKETS; i++)
        buf_printf(out, "%s_bucket{le=\"%g\"} %" PRId64 "\n", name, bounds[i], n += h->n[i]);
    n += h->n[HIST_BUCKETS];
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRId64 "\n%s_sum %.9g\n%s_count %" PRId64 "\n", name,
               n, name, h->sum, name, n);
}

static double resident_bytes(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f) return 0;
    if (fscanf(f, "%*s %ld", &pages) != 1) pages = 0;
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* NAME{model="ID"} VALUE; a file may be called anything. */
static void write_of_model(struct buf *out, const char *name, const struct served *m, double value)
{
    buf_printf(out, "%s{model=\"", name);
    for (const char *c = m->id; *c; c++) {
        if (*c == '"' || *c == '\\') buf_putc(out, '\\');
        buf_putc(out, *c == '\n' ? ' ' : *c);
    }
    buf_printf(out, "\"} %.15g\n", value);
}

static void write_model_bytes(void *user, const struct served *m)
{
    write_of_model(user, "cria_model_bytes", m, m->state == MODEL_IN ? (double)m->n_bytes : 0);
}

static void write_model_requests(void *user, const struct served *m)
{
    write_of_model(user, "cria_model_requests_total", m, (double)m->n_requests);
}

/* Names have nothing that must be escaped. */
static void write_adapter_bytes(void *user, const struct adapter *ad)
{
    buf_printf(user, "cria_adapter_bytes{adapter=\"%s\"} %" PRIu64 "\n", ad->is.name,
               lora_bytes(ad->is.lora));
}

static void write_adapter_requests(void *user, const struct adapter *ad)
{
    buf_printf(user, "cria_adapter_requests_total{adapter=\"%s\"} %" PRId64 "\n", ad->is.name,
               ad->n_requests);
}

void metrics_write(const struct metrics *m, const struct metrics_now *now, struct buf *out)
{
    const struct worker_status status = models_status(now->models), *w = &status;
    const int64_t n_all = models_cache_tok(now->models), n_cache = n_all > 0 ? n_all : 1;
    const int64_t n_free = n_all > 0 ? w->n_free_tok : 1;
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        /* clang-format off */
        {"cria_prompt_tokens_total",        "counter", "Prompt tokens read by the model.",              (double)w->engine.n_prompt},
        {"cria_cached_prompt_tokens_total", "counter", "Prompt tokens found in the cache instead.",     (double)m->n_cached_tok},
        {"cria_generation_tokens_total",    "counter", "Tokens generated.",                             (double)w->engine.n_generated},
        {"cria_steps_total",                "counter", "Steps of the model.",                           (double)w->n_steps},
        {"cria_requests_cancelled_total",   "counter", "Requests whose client left before the end.",    (double)m->n_cancelled},
        {"cria_slow_readers_total",         "counter", "Clients cut off because they did not read.",    (double)m->n_slow_readers},
        {"cria_late_requests_total",        "counter", "Clients cut off because their request did not come.", (double)m->n_late_headers},
        {"cria_requests_running",           "gauge",   "Answers under way.",                            (double)w->engine.n_running},
        {"cria_requests_waiting",           "gauge",   "Requests in the engine's queue.",               (double)w->engine.n_queued},
        {"cria_cache_usage_ratio",          "gauge",   "Part of the cache that is held, cached prefixes included.", 1 - (double)n_free / (double)n_cache},
        {"cria_heartbeat_age_seconds",      "gauge",   "Since the last step ended; 0 while idle.",      (double)w->beat_age_ns * 1e-9},
        {"cria_connections",                "gauge",   "Open connections.",                             now->n_connections},
        {"cria_connections_limit",          "gauge",   "Most open connections.",                        now->max_connections},
        {"process_resident_memory_bytes",   "gauge",   "Resident memory.",                              resident_bytes()},
        /* clang-format on */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        write_head(out, rows[i].name, rows[i].type, rows[i].help);
        buf_printf(out, "%s %.15g\n", rows[i].name, rows[i].value);
    }
    write_head(out, "cria_requests_total", "counter", "Requests answered, by status.");
    for (int i = 0; i < METRICS_STATUSES && (i == 0 || statuses[i - 1]); i++)
        if (m->n_status[i] && statuses[i])
            buf_printf(out, "cria_requests_total{status=\"%d\"} %" PRId64 "\n", statuses[i],
                       m->n_status[i]);
        else if (m->n_status[i])
            buf_printf(out, "cria_requests_total{status=\"other\"} %" PRId64 "\n", m->n_status[i]);
    write_head(out, "cria_model_bytes", "gauge",
               "Memory of each model with its cache in bytes; 0: it is not loaded.");
    models_each(now->models, write_model_bytes, out);
    write_head(out, "cria_model_requests_total", "counter", "Requests by the model they named.");
    models_each(now->models, write_model_requests, out);
    write_head(out, "cria_adapter_bytes", "gauge", "Memory of each adapter in bytes.");
    adapters_each(now->adapters, write_adapter_bytes, out);
    write_head(out, "cria_adapter_requests_total", "counter",
               "Requests by the adapter they chose.");
    adapters_each(now->adapters, write_adapter_requests, out);
    for (int i = 0; i < N_HISTOGRAMS; i++)
        write_histogram(out, &m->hist[i], hist_rows[i].name, hist_rows[i].help);
}
