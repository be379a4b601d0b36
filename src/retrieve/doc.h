/* doc.h - a document as readers hand it over: clean text, and the blocks it consists of.
 *
 * A reader of any format makes the same thing: one UTF-8 text in which blocks (headings,
 * paragraphs, list items, code, table rows) follow each other, parted by line feeds. Every later
 * place (a chunk, a citation) is a byte span of that text. White space in a block is one space,
 * except in code; bytes that are no UTF-8 become U+FFFD and control characters go. Appending is
 * sticky, as in base/buf.h: doc_check() at the end says whether all of it is there. One thread at a
 * time.
 */
#ifndef CRIA_RETRIEVE_DOC_H
#define CRIA_RETRIEVE_DOC_H

#include "base/buf.h"

enum doc_kind { DOC_HEADING, DOC_PARAGRAPH, DOC_ITEM, DOC_CODE, DOC_ROW };

struct doc_block {
    enum doc_kind kind;
    int level;         /* of a heading, 1 to 6; else 0 */
    size_t begin, end; /* bytes of text */
};

#define DOC_MAX_TEXT_BYTES ((size_t)64 << 20)
#define DOC_MAX_BLOCKS ((size_t)1 << 20)

struct doc {
    struct buf text;
    struct buf title; /* the format's own, may be empty */
    struct doc_block *block;
    size_t n_blocks, cap_blocks;
    bool is_open, is_failed; /* private: a block is being written; a block was not kept */
};

void doc_init(struct doc *d);
void doc_release(struct doc *d);

/* Opens a block, ending the one before. A block that stays empty is not kept. */
void doc_begin(struct doc *d, enum doc_kind kind, int level);
void doc_text(struct doc *d, const char *s, size_t n_bytes);
void doc_end(struct doc *d);

/* A space unless one is there: what stands where markup ended a word. */
void doc_space(struct doc *d);

/* The title, cleaned like a paragraph; the first one counts. */
void doc_set_title(struct doc *d, const char *s, size_t n_bytes);

/* Ends the last block. False and ERR_MEMORY naming `name` and the ceiling if something is missing.
 */
bool doc_check(struct doc *d, const char *name, struct err *err) CRIA_CHECK;

#endif
