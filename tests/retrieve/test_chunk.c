/* SPDX-License-Identifier: Apache-2.0
 *
 * test_chunk.c - passages follow the structure, stay within their bound, and lose no text.
 */
#include "test.h"

#include "base/rng.h"
#include "retrieve/chunk.h"

static void add(struct doc *d, enum doc_kind kind, int level, const char *s)
{
    doc_begin(d, kind, level);
    doc_text(d, s, strlen(s));
}

static void test_structure(void **state)
{
    (void)state;
    struct err err = {0};
    struct doc d;
    struct chunks c;
    doc_init(&d);
    doc_set_title(&d, "Book", 4);
    add(&d, DOC_PARAGRAPH, 0, "Before any heading.");
    add(&d, DOC_HEADING, 1, "Book");
    add(&d, DOC_HEADING, 2, "Part");
    add(&d, DOC_PARAGRAPH, 0, "In the part.");
    add(&d, DOC_ITEM, 0, "An item.");
    add(&d, DOC_HEADING, 3, "Deep");
    add(&d, DOC_PARAGRAPH, 0, "Deep text.");
    add(&d, DOC_HEADING, 2, "Other");
    add(&d, DOC_PARAGRAPH, 0, "Other text.");
    add(&d, DOC_HEADING, 2, "Alone");
    assert_ok(doc_check(&d, "it", &err), &err);
    assert_ok(chunk_doc(&d, 500, &c, &err), &err);
    static const char *const want[][2] = {
        {"Book", "Before any heading."},
        {"Book > Part", "Book\n\nPart\n\nIn the part.\n\nAn item."},
        {"Book > Part > Deep", "Deep\n\nDeep text."},
        {"Book > Other", "Other\n\nOther text."},
    };
    assert_int_equal(c.n, ARRAY_LEN(want));
    for (size_t i = 0; i < c.n; i++) {
        assert_string_equal(c.chunk[i].heading, want[i][0]);
        assert_int_equal(c.chunk[i].end - c.chunk[i].begin, strlen(want[i][1]));
        assert_memory_equal(d.text.data + c.chunk[i].begin, want[i][1], strlen(want[i][1]));
    }
    chunks_release(&c);
    doc_release(&d);
}

static void test_long_paragraph_is_cut_at_sentences(void **state)
{
    (void)state;
    struct err err = {0};
    struct doc d;
    struct chunks c;
    doc_init(&d);
    doc_begin(&d, DOC_PARAGRAPH, 0);
    for (int i = 0; i < 40; i++) doc_text(&d, "This is a sentence of some length. ", 35);
    assert_ok(doc_check(&d, "it", &err), &err);
    assert_ok(chunk_doc(&d, 200, &c, &err), &err);
    assert_true(c.n >= 4);
    for (size_t i = 0; i < c.n; i++) {
        assert_int_equal(d.text.data[c.chunk[i].begin], 'T');
        assert_int_equal(d.text.data[c.chunk[i].end - 1], '.');
    }
    chunks_release(&c);
    doc_release(&d);
}

/* Letters, signs of several bytes, spaces, stops and line feeds in runs that have no good place to
 * cut, of random lengths. */
static void fill_random(struct doc *d, struct rng *g)
{
    static const char *const bits[] = {"word", " ", ". ",   "\xC3\xA9", "\xF0\x9F\x98\x80",
                                       "\n",   "A", "x\n\n"};
    for (int i = 0; i < 60; i++) {
        const enum doc_kind kind = (enum doc_kind)(rng_u32(g) % 5);
        doc_begin(d, kind, kind == DOC_HEADING ? (int)(rng_u32(g) % 6) + 1 : 0);
        const uint32_t n = rng_u32(g) % (rng_u32(g) % 8 ? 40 : 900), only = rng_u32(g) % 16;
        for (uint32_t k = 0; k < n; k++) {
            const char *s = bits[only < ARRAY_LEN(bits) ? only : rng_u32(g) % ARRAY_LEN(bits)];
            doc_text(d, s, strlen(s));
        }
    }
}

static void test_bounds_hold_for_any_text(void **state)
{
    (void)state;
    struct rng g = rng_seed(7);
    for (int round = 0; round < 200; round++) {
        struct err err = {0};
        struct doc d;
        struct chunks c;
        doc_init(&d);
        fill_random(&d, &g);
        assert_ok(doc_check(&d, "it", &err), &err);
        const size_t target = 64 + rng_u32(&g) % 300;
        assert_ok(chunk_doc(&d, target, &c, &err), &err);
        size_t last = 0, n_in = 0, n_all = 0;
        for (size_t i = 0; i < c.n; i++) {
            const struct chunk *k = &c.chunk[i];
            if (k->begin < last || k->end <= k->begin || k->end - k->begin > 2 * target)
                fail_msg("round %d: passage %zu is [%zu, %zu) after %zu", round, i, k->begin,
                         k->end, last);
            assert_true(((unsigned char)d.text.data[k->begin] & 0xC0) != 0x80);
            assert_true(((unsigned char)d.text.data[k->end] & 0xC0) != 0x80);
            for (size_t p = k->begin; p < k->end; p++) n_in += !strchr(" \n", d.text.data[p]);
            last = k->end;
        }
        for (size_t b = 0; b < d.n_blocks; b++)
            for (size_t p = d.block[b].begin; p < d.block[b].end; p++)
                n_all += d.block[b].kind != DOC_HEADING && !strchr(" \n", d.text.data[p]);
        if (n_in < n_all)
            fail_msg("round %d: %zu of %zu bytes are in passages", round, n_in, n_all);
        chunks_release(&c);
        doc_release(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_long_paragraph_is_cut_at_sentences),
        cmocka_unit_test(test_bounds_hold_for_any_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
