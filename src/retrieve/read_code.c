/* SPDX-License-Identifier: Apache-2.0
 *
 * read_code.c - source code and configuration: blocks that are whole definitions where possible.
 *
 * No language is parsed. In nearly all of them a definition begins at the left margin after an
 * empty line and what belongs to it is indented, so that is where blocks begin. Layout is kept as
 * it is: in code it carries meaning, and a citation should look like the file.
 */
#include "retrieve/reader.h"

#include <string.h>

#include "retrieve/decode_text.h"

static bool read_code(const struct reader_input *in, struct doc *out, struct err *err)
{
    struct buf text;
    buf_init(&text, DOC_MAX_TEXT_BYTES);
    if (!decode_text(in->data, in->n_bytes, in->charset, &text, err)) {
        buf_release(&text);
        return false;
    }
    const char *s = text.data ? text.data : "";
    bool is_after_empty = true;
    for (size_t i = 0, end = 0; i < text.n_bytes; i = end + 1) {
        const char *nl = memchr(s + i, '\n', text.n_bytes - i);
        end = nl ? (size_t)(nl - s) : text.n_bytes;
        const bool is_empty = strspn(s + i, " \t\r") >= end - i;
        const bool is_inside = strchr(" \t})]", s[i]) != NULL;
        if (is_after_empty && !is_empty && !is_inside) doc_begin(out, DOC_CODE, 0);
        if (out->n_blocks == 0) doc_begin(out, DOC_CODE, 0);
        doc_text(out, s + i, end - i);
        doc_text(out, "\n", 1);
        is_after_empty = is_empty;
    }
    buf_release(&text);
    return true;
}

static const char *const extensions[] = {
    "c",     "h",      "cc",   "cpp",  "cxx",   "hpp",    "hh",       "cu",         "m",
    "mm",    "cs",     "java", "kt",   "scala", "groovy", "go",       "rs",         "zig",
    "d",     "py",     "pyi",  "rb",   "pl",    "pm",     "php",      "lua",        "r",
    "jl",    "js",     "mjs",  "jsx",  "ts",    "tsx",    "vue",      "css",        "scss",
    "sh",    "bash",   "zsh",  "fish", "ps1",   "bat",    "awk",      "sql",        "swift",
    "dart",  "hs",     "ml",   "mli",  "ex",    "exs",    "erl",      "clj",        "lisp",
    "el",    "scm",    "f90",  "f",    "asm",   "s",      "v",        "vhd",        "proto",
    "json",  "jsonl",  "yaml", "yml",  "toml",  "ini",    "cfg",      "conf",       "xml",
    "cmake", "gradle", "tf",   "nix",  "patch", "diff",   "Makefile", "Dockerfile", NULL};

const struct reader reader_code = {
    .name = "code",
    .what = "source code and configuration",
    .extensions = extensions,
    .read = read_code,
};
