/* bytes.h - hand-made binary files for the tests of formats, and the checks that all readers share.
 *
 * A file is written as words, so that a table of bad files reads like an annotated dump:
 *
 *     iN  u32      qN  u64      hN  u16      oN  one byte
 *     sTEXT        u64 length and the text (to the next space)
 *     tTEXT        the text alone
 *     rN           N zero bytes              pN  zero bytes up to a multiple of N
 */
#ifndef CRIA_TESTS_FORMATS_BYTES_H
#define CRIA_TESTS_FORMATS_BYTES_H

#include "test.h"

#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"

static inline void bytes_word(struct buf *b, char kind, const char *text, size_t n_text)
{
    const uint64_t v = strtoull(text, NULL, 0), n = n_text;
    switch (kind) {
    case 'o':
        buf_append(b, &v, 1);
        break;
    case 'h':
        buf_append(b, &v, 2);
        break;
    case 'i':
        buf_append(b, &v, 4);
        break;
    case 'q':
        buf_append(b, &v, 8);
        break;
    case 's':
        buf_append(b, &n, 8);
        buf_append(b, text, n_text);
        break;
    case 't':
        buf_append(b, text, n_text);
        break;
    case 'r':
        for (uint64_t i = 0; i < v; i++) buf_putc(b, 0);
        break;
    case 'p':
        while (b->n_bytes % v) buf_putc(b, 0);
        break;
    default:
        fail_msg("bytes.h: no word begins with '%c'", kind);
    }
}

/* Appends the file that `text` describes. */
static inline void bytes_build(struct buf *b, const char *text)
{
    while (*text) {
        const size_t n = strcspn(text, " ");
        if (n) bytes_word(b, text[0], text + 1, n - 1);
        text += n + (text[n] == ' ');
    }
    assert_false(b->is_failed);
}

/* Exactly n bytes on the heap, so that a sanitizer sees a read past them. */
static inline uint8_t *bytes_exact(const void *data, size_t n)
{
    uint8_t *p = malloc(n ? n : 1);
    assert_non_null(p);
    if (n) memcpy(p, data, n);
    return p;
}

static inline void bytes_of_file(struct buf *b, const char *path)
{
    struct err err = {0};
    buf_init(b, 64 << 20);
    assert_ok(file_read_all(path, 64 << 20, b, &err), &err);
}

/* A new directory for a test's output, or DIR/NAME of $CRIA_KEEP_WRITTEN (for the check of
 * tests/oracle/formats.py). */
static inline void temp_dir(char *out, size_t n_out)
{
    const char *keep = getenv("CRIA_KEEP_WRITTEN");
    (void)snprintf(out, n_out, "%s", keep ? keep : "/tmp/cria-test-XXXXXX");
    if (!keep) assert_non_null(mkdtemp(out));
}

static inline void temp_remove(const char *path)
{
    if (!getenv("CRIA_KEEP_WRITTEN")) (void)remove(path);
}

/* What tests/oracle/formats.py puts into tensor number k. */
static inline double ramp(size_t i, int k) { return (double)(i % 17) / 4 - k; }

static inline double half_value(uint16_t h) /* normal numbers and zero suffice for ramp() */
{
    const double m = h & 0x3ff, s = h & 0x8000 ? -1 : 1;
    const int e = (h >> 10) & 31;
    double v = e ? 1 + m / 1024 : m / 1024;
    for (int i = e ? e : 1; i < 15; i++) v /= 2;
    for (int i = 15; i < e; i++) v *= 2;
    return s * v;
}

/* Element i of plain data. `dtype`: 0 f32, 1 f16, 2 bf16, in the order of enum dtype. */
static inline double plain_value(const void *data, int dtype, size_t i)
{
    uint16_t h = 0;
    uint32_t u = 0;
    float f = 0;
    if (dtype == 0)
        memcpy(&f, (const char *)data + 4 * i, 4);
    else
        memcpy(&h, (const char *)data + 2 * i, 2);
    if (dtype == 1) return half_value(h);
    if (dtype == 0) return (double)f;
    u = (uint32_t)h << 16;
    memcpy(&f, &u, 4);
    return (double)f;
}

static inline void assert_ramp(const char *name, const void *data, int dtype, size_t n, int k)
{
    for (size_t i = 0; i < n; i++)
        if (plain_value(data, dtype, i) < ramp(i, k) || plain_value(data, dtype, i) > ramp(i, k))
            fail_msg("%s[%zu] is %g, not %g", name, i, plain_value(data, dtype, i), ramp(i, k));
}

#endif
