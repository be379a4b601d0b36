/* SPDX-License-Identifier: Apache-2.0
 *
 * index_upload.c - a document that somebody sent into the index.
 *
 * It has no file that could be looked at again, so it is no source of the index: a later run of
 * indexing leaves it alone. Its name is "upload:/NAME", and another document of that name takes its
 * place. The name's extension decides who reads it, else the bytes; the readers are those of files,
 * with their bounds, and PDF is converted in the sandbox.
 */
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "retrieve/indexing.h"
#include "retrieve/reader.h"

static bool put(struct store *s, struct document *d, const struct doc *text, struct err *err)
{
    struct chunks chunks = {0};
    const bool ok = chunk_doc(text, INDEX_TARGET_BYTES, &chunks, err) && store_begin(s, err) &&
                    store_put(s, d, text, &chunks, NULL, err) && store_commit(s, err);
    chunks_release(&chunks);
    return ok;
}

bool index_upload_name(const char *name, struct err *err)
{
    const size_t n = strlen(name);
    bool ok = n > 0 && n <= INDEX_UPLOAD_MAX_NAME && name[0] != '.' && utf8_is_valid(name, n);
    for (size_t i = 0; i < n; i++)
        ok = ok && (unsigned char)name[i] >= ' ' && name[i] != 0x7F && !strchr("/\\", name[i]);
    return ok || err_set(err, ERR_USAGE,
                         "name: give the document's, as notes.md: at most %d bytes, no dot in "
                         "front, no slash, no control characters",
                         INDEX_UPLOAD_MAX_NAME);
}

static bool read_document(const struct reader_input *in, const struct reader *r, struct doc *text,
                          struct index_uploaded *out, struct err *err)
{
    out->is_refused = true;
    if (!r)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: nothing here reads it; send text, Markdown, HTML, Word, PDF or code",
                       in->name);
    if (!reader_run(r, in, text, err)) return false;
    if (text->n_blocks == 0)
        return err_set(err, ERR_FORMAT, "%s: there is no text in it", in->name);
    out->is_refused = false;
    return true;
}

bool index_upload(struct store *s, const char *name, const uint8_t *data, size_t n_bytes,
                  struct index_uploaded *out, struct err *err)
{
    char path[sizeof INDEX_UPLOAD_PREFIX + INDEX_UPLOAD_MAX_NAME];
    struct document old;
    struct doc text;
    const struct reader_input in = {.name = name, .data = data, .n_bytes = n_bytes};
    const struct reader *reader = reader_find(name, NULL, data, n_bytes);
    *out = (struct index_uploaded){0};
    if (!index_upload_name(name, err)) {
        out->is_refused = true;
        return false;
    }
    snprintf(path, sizeof path, "%s%s", INDEX_UPLOAD_PREFIX, name);
    struct document d = {.path = path, .root = path, .size_bytes = (int64_t)n_bytes};
    const int known = store_find(s, path, &old, err);
    if (known < 0) return false;
    SHA256(data, n_bytes, d.sha256);
    if (known && memcmp(old.sha256, d.sha256, sizeof d.sha256) == 0) {
        *out = (struct index_uploaded){
            .change = INDEX_SAME, .document = old.id, .n_chunks = old.n_chunks};
        return true;
    }
    doc_init(&text);
    bool ok = read_document(&in, reader, &text, out, err);
    if (ok) {
        d.title = text.title.data ? text.title.data : "";
        d.reader = reader->name;
        ok = put(s, &d, &text, err);
        *out = (struct index_uploaded){.change = known ? INDEX_CHANGED : INDEX_ADDED,
                                       .document = d.id,
                                       .n_chunks = d.n_chunks};
    }
    doc_release(&text);
    return ok;
}
