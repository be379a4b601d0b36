/* SPDX-License-Identifier: Apache-2.0
 *
 * doc.c - the text and blocks that every reader fills.
 *
 * All cleaning is done here, at the one place where bytes enter, so that no reader can forget it:
 * what is in `text` is valid UTF-8 without control characters, and may be shown on a terminal, in
 * a page and in a prompt. Blocks are parted by one empty line, items and rows of one list by one
 * line feed, so the text reads well by itself.
 *
 * Invariants
 *   I1  blocks are in order, not empty, do not overlap, and have no white space at either end.
 */
#include "retrieve/doc.h"

#include <stdlib.h>
#include <string.h>

#include "text/unicode.h"

#define MAX_TITLE_BYTES ((size_t)1024)

void doc_init(struct doc *d)
{
    *d = (struct doc){0};
    buf_init(&d->text, DOC_MAX_TEXT_BYTES);
    buf_init(&d->title, MAX_TITLE_BYTES);
}

void doc_release(struct doc *d)
{
    buf_release(&d->text);
    buf_release(&d->title);
    free(d->block);
    d->block = NULL;
    d->n_blocks = d->cap_blocks = 0;
}

static bool is_space(uint32_t cp)
{
    return cp == ' ' || (cp >= '\t' && cp <= '\r') || (uc_class(cp) & UC_SPACE);
}

/* Not shown, and able to reorder or hide what is: controls, soft hyphen, zero width, direction. */
static bool is_dropped(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || cp == 0xAD || (cp >= 0x200B && cp <= 0x200F) ||
           (cp >= 0x202A && cp <= 0x202E) || (cp >= 0x2060 && cp <= 0x206F) || cp == 0xFEFF ||
           (cp >= 0xE0000 && cp <= 0xE007F);
}

/* Appends s to `out`, which began a block at `begin`, with white space as `is_code` wants it. */
static void clean(struct buf *out, size_t begin, bool is_code, const char *s, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes && !out->is_failed;) {
        uint32_t cp = 0;
        bool is_bad = false;
        uint8_t raw[4];
        i += (size_t)utf8_decode((const uint8_t *)s + i, n_bytes - i, &cp, &is_bad);
        if (is_code && (cp == '\n' || cp == '\t' || cp == ' ')) {
            buf_putc(out, (char)cp);
        } else if (is_space(cp)) {
            const bool is_first = out->n_bytes == begin || out->data[out->n_bytes - 1] == ' ';
            if (is_code ? cp != '\r' : !is_first) buf_putc(out, ' ');
        } else if (!is_dropped(cp)) {
            buf_append(out, raw, (size_t)utf8_encode(cp, raw));
        }
    }
}

static bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t'; }

static void put_block(struct doc *d, struct doc_block b)
{
    if (d->n_blocks == d->cap_blocks) {
        const size_t cap = d->cap_blocks ? d->cap_blocks * 2 : 64;
        struct doc_block *grown =
            cap <= DOC_MAX_BLOCKS ? realloc(d->block, cap * sizeof *grown) : NULL;
        if (!grown) {
            d->is_failed = true;
            return;
        }
        d->block = grown;
        d->cap_blocks = cap;
    }
    d->block[d->n_blocks++] = b;
}

/* The block being written is block[n_blocks - 1] while is_open. */
void doc_end(struct doc *d)
{
    if (!d->is_open) return;
    d->is_open = false;
    struct doc_block *b = &d->block[d->n_blocks - 1];
    if (d->text.is_failed || !d->text.data) {
        d->n_blocks--;
        return;
    }
    size_t begin = b->begin, end = d->text.n_bytes;
    while (end > begin && is_blank(d->text.data[end - 1])) end--;
    if (b->kind == DOC_CODE) /* empty lines before go, the indent of the first line stays */
        for (size_t i = begin; i < end && is_blank(d->text.data[i]); i++)
            if (d->text.data[i] == '\n') begin = i + 1;
    b->begin = begin;
    b->end = end;
    if (begin == end) {
        d->n_blocks--;
        end = d->n_blocks > 0 ? d->block[d->n_blocks - 1].end : 0;
    }
    d->text.n_bytes = end; /* so the line feeds before an empty block go too */
    d->text.data[end] = 0;
}

void doc_begin(struct doc *d, enum doc_kind kind, int level)
{
    doc_end(d);
    if (d->n_blocks > 0) {
        const enum doc_kind last = d->block[d->n_blocks - 1].kind;
        const bool is_close = kind == last && (kind == DOC_ITEM || kind == DOC_ROW);
        buf_puts(&d->text, is_close ? "\n" : "\n\n");
    }
    const size_t n_before = d->n_blocks;
    put_block(d, (struct doc_block){kind, level, d->text.n_bytes, d->text.n_bytes});
    d->is_open = d->n_blocks > n_before;
}

void doc_text(struct doc *d, const char *s, size_t n_bytes)
{
    if (!d->is_open) return;
    const struct doc_block *b = &d->block[d->n_blocks - 1];
    clean(&d->text, b->begin, b->kind == DOC_CODE, s, n_bytes);
}

void doc_space(struct doc *d) { doc_text(d, " ", 1); }

void doc_set_title(struct doc *d, const char *s, size_t n_bytes)
{
    if (d->title.n_bytes > 0) return;
    if (n_bytes > MAX_TITLE_BYTES / 4) n_bytes = MAX_TITLE_BYTES / 4;
    n_bytes = utf8_complete((const uint8_t *)s, n_bytes);
    clean(&d->title, 0, false, s, n_bytes);
    while (d->title.n_bytes > 0 && is_blank(d->title.data[d->title.n_bytes - 1]))
        d->title.data[--d->title.n_bytes] = 0;
}

bool doc_check(struct doc *d, const char *name, struct err *err)
{
    doc_end(d);
    if (!d->is_failed && !d->text.is_failed && !d->title.is_failed) return true;
    return err_set(err, ERR_MEMORY,
                   "%s: more text or blocks than the %zu bytes and %zu blocks that a document may "
                   "have; split it",
                   name, DOC_MAX_TEXT_BYTES, DOC_MAX_BLOCKS);
}
