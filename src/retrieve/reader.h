/* reader.h - from a file's bytes to a document, one file a format.
 *
 * A format is read_NAME.c and a row in reader.c. Readers trust nothing: sizes, depth and time are
 * capped, and each has a fuzz target. Any thread, one document each.
 */
#ifndef CRIA_RETRIEVE_READER_H
#define CRIA_RETRIEVE_READER_H

#include <stdint.h>

#include "retrieve/doc.h"

#define READER_MAX_FILE_BYTES ((size_t)256 << 20)

struct reader_input {
    const char *name; /* path or URL, for messages */
    const uint8_t *data;
    size_t n_bytes;
    const char *charset; /* what the transport said, or NULL */
};

struct reader {
    const char *name;              /* "markdown" */
    const char *what;              /* "Markdown": in docs and messages */
    const char *const *extensions; /* without dot, lower case, ended by NULL */
    const char *mime;              /* of HTTP replies */
    /* The bytes look like this format; NULL: only the name tells. */
    bool (*sniff)(const uint8_t *data, size_t n_bytes);
    /* Fills `out` (initialised, empty). ERR_FORMAT, ERR_LIMIT, ERR_MEMORY, ERR_UNSUPPORTED (a
     * program that it needs is not here). */
    bool (*read)(const struct reader_input *in, struct doc *out, struct err *err);
};

extern const struct reader *const readers[]; /* ended by NULL */

/* The reader for this content: by the name's extension, else by MIME type (may be NULL), else by
 * the bytes. NULL: it is binary, or a format that nobody here reads. */
const struct reader *reader_find(const char *name, const char *mime, const uint8_t *data,
                                 size_t n_bytes);

/* reader->read and doc_check(), with the name in front of the error; a document without a title of
 * its own gets its first heading, or the name's last part. */
bool reader_run(const struct reader *r, const struct reader_input *in, struct doc *out,
                struct err *err) CRIA_CHECK;

/* Paragraphs of plain text, parted by empty lines: what several formats fall back to. */
void read_paragraphs(const char *s, size_t n_bytes, struct doc *out);

#endif
