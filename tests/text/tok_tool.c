/* SPDX-License-Identifier: Apache-2.0
 *
 * tok_tool.c - the tokenizer as a filter, for oracles and the bench.
 *
 *     tok_tool VOCAB [--special] [--bos] [--guess] < lines.jsonl   ids of each JSON string, a line
 * each tok_tool VOCAB --bench FILE [ROUNDS]             MB/s of encoding and decoding, as JSON
 *
 * VOCAB is what tests/text/vocab_reader.h reads. A line {"hex": "ff00"} stands for bytes that are
 * no UTF-8.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/os.h"
#include "text/tokenizer.h"
#include "vocab_reader.h"

#define MAX_LINE_BYTES ((size_t)1 << 30)

static bool encode_line(const struct tokenizer *t, const char *line, size_t n, unsigned flags,
                        struct ids *ids, struct err *err)
{
    struct json_doc *d = json_parse(line, n, MAX_LINE_BYTES, "line", err);
    if (!d) return false;
    const char *s = NULL;
    size_t n_bytes = 0;
    char *bytes = NULL;
    if (!json_str(json_root(d), &s, &n_bytes) &&
        json_str(json_get(json_root(d), "hex"), &s, &n_bytes)) {
        bytes = malloc(n_bytes + 1);
        n_bytes /= 2;
        for (size_t i = 0; bytes && i < n_bytes; i++) {
            const char pair[3] = {s[2 * i], s[2 * i + 1], 0};
            bytes[i] = (char)strtoul(pair, NULL, 16);
        }
        s = bytes;
    }
    ids->n = 0;
    const bool ok = s && tokenizer_encode(t, s, n_bytes, flags, ids, err);
    free(bytes);
    json_free(d);
    return ok;
}

static bool filter(const struct tokenizer *t, unsigned flags, struct err *err)
{
    char *line = NULL;
    size_t cap = 0;
    struct ids ids = {0};
    bool ok = true;
    for (ssize_t n = 0; ok && (n = getline(&line, &cap, stdin)) > 0;) {
        ok = encode_line(t, line, (size_t)n, flags, &ids, err);
        putchar('[');
        for (size_t i = 0; i < ids.n; i++) printf("%s%" PRId32, i ? "," : "", ids.id[i]);
        puts("]");
    }
    free(line);
    ids_release(&ids);
    return ok;
}

static double mb_per_s(size_t n, int64_t ns) { return (double)n * 1e3 / (double)(ns ? ns : 1); }

static bool measure(const struct tokenizer *t, const char *path, int n_rounds, struct err *err)
{
    struct buf text, back;
    struct ids ids = {0};
    buf_init(&text, MAX_LINE_BYTES);
    buf_init(&back, MAX_LINE_BYTES);
    int64_t best_encode = INT64_MAX, best_decode = INT64_MAX;
    bool ok = file_read_all(path, MAX_LINE_BYTES, &text, err);
    for (int i = 0; ok && i < n_rounds; i++) {
        ids.n = 0;
        buf_clear(&back);
        const int64_t t0 = clock_ns();
        ok = tokenizer_encode(t, text.data, text.n_bytes, 0, &ids, err);
        const int64_t t1 = clock_ns();
        tokenizer_decode(t, ids.id, ids.n, false, &back);
        const int64_t t2 = clock_ns();
        if (t1 - t0 < best_encode) best_encode = t1 - t0;
        if (t2 - t1 < best_decode) best_decode = t2 - t1;
    }
    if (ok)
        printf("{\"bytes\": %zu, \"tokens\": %zu, \"encode_mb_s\": %.1f, \"decode_mb_s\": %.1f, "
               "\"same\": %s}\n",
               text.n_bytes, ids.n, mb_per_s(text.n_bytes, best_encode),
               mb_per_s(text.n_bytes, best_decode),
               back.n_bytes == text.n_bytes && !memcmp(back.data, text.data, text.n_bytes)
                   ? "true"
                   : "false");
    buf_release(&text);
    buf_release(&back);
    ids_release(&ids);
    return ok;
}

static bool run(int argc, char **argv, struct err *err)
{
    struct vocab *v = test_vocab_read(argv[1], false, err);
    if (!v) return false;
    unsigned flags = 0;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--special") == 0) flags |= ENCODE_SPECIAL;
        if (strcmp(argv[i], "--bos") == 0) flags |= ENCODE_BOS;
        if (strcmp(argv[i], "--guess") == 0) v->pretok = PRETOK_UNKNOWN;
    }
    const int64_t t0 = clock_ns();
    struct tokenizer *t = tokenizer_new(v, argv[1], err);
    if (!t) {
        vocab_free(v);
        return false;
    }
    fprintf(stderr, "%s, made in %.1f ms\n", tokenizer_family(t), (double)(clock_ns() - t0) / 1e6);
    const bool is_bench = argc >= 4 && strcmp(argv[2], "--bench") == 0;
    const bool ok =
        is_bench ? measure(t, argv[3], argc > 4 ? atoi(argv[4]) : 5, err) : filter(t, flags, err);
    tokenizer_free(t);
    return ok;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    if (argc < 2) {
        fprintf(stderr, "usage: tok_tool VOCAB [--special] [--bos] [--guess] [--bench FILE]\n");
        return 2;
    }
    if (run(argc, argv, &err)) return 0;
    fprintf(stderr, "tok_tool: %s\n", err.text);
    return 1;
}
