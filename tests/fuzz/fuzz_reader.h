/* fuzz_reader.h - any bytes through one reader of documents, and its result through the chunker:
 * refused with a reason, or blocks and passages that keep their invariants (retrieve/doc.c,
 * chunk.c).
 */
#ifndef CRIA_TESTS_FUZZ_READER_H
#define CRIA_TESTS_FUZZ_READER_H

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "retrieve/chunk.h"
#include "retrieve/decode_text.h"
#include "retrieve/reader.h"

static inline void fuzz_demand(bool holds)
{
    if (!holds) abort();
}

static inline void fuzz_passages(const struct doc *d)
{
    struct err err = {0};
    struct chunks c;
    fuzz_demand(chunk_doc(d, 100, &c, &err));
    size_t last = 0;
    for (size_t i = 0; i < c.n; i++) {
        const struct chunk *k = &c.chunk[i];
        fuzz_demand(k->begin >= last && k->end > k->begin && k->end - k->begin <= 200);
        fuzz_demand(is_utf8((const uint8_t *)d->text.data + k->begin, k->end - k->begin));
        last = k->end;
    }
    chunks_release(&c);
}

static inline void fuzz_reader(const struct reader *r, const uint8_t *data, size_t n_bytes)
{
    struct err err = {0};
    struct doc d;
    const struct reader_input in = {.name = "it", .data = data, .n_bytes = n_bytes};
    doc_init(&d);
    const bool ok = reader_run(r, &in, &d, &err);
    fuzz_demand(ok == (err.code == ERR_OK));
    size_t last = 0;
    for (size_t i = 0; ok && i < d.n_blocks; i++) {
        fuzz_demand(d.block[i].begin >= last && d.block[i].end > d.block[i].begin);
        last = d.block[i].end;
    }
    if (ok && d.n_blocks) {
        fuzz_demand(last == d.text.n_bytes);
        fuzz_demand(is_utf8((const uint8_t *)d.text.data, d.text.n_bytes));
        fuzz_passages(&d);
    }
    if (ok && d.title.n_bytes) fuzz_demand(is_utf8((const uint8_t *)d.title.data, d.title.n_bytes));
    doc_release(&d);
}

#endif
