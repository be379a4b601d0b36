/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_tokenize.c - `cria tokenize` and `cria detokenize`: text on stdin to ids on stdout, and back.
 *
 * Only the tokenizer of the model is read, never its weights, so this starts in milliseconds on a
 * model of any size and works on bare tokenizer files too. Two commands in one file because each is
 * the other's inverse and both forms of input must stay in step.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/json_write.h"
#include "cli/options.h"
#include "cli/prompt.h"
#include "formats/tokenizer_files.h"

#define MAX_INPUT_BYTES ((size_t)1 << 31)

static struct tokenizer *open_tokenizer(const struct args *a, struct err *err)
{
    char path[1024];
    if (!options_model_path(a, path, err)) return NULL;
    struct vocab *v = vocab_from_path(path, err);
    if (!v) return NULL;
    struct tokenizer *t = tokenizer_new(v, path, err);
    if (!t) vocab_free(v);
    return t;
}

static unsigned encode_flags(const struct args *a)
{
    return (args_flag(a, "special") ? ENCODE_SPECIAL : 0u) |
           (args_flag(a, "bos") ? ENCODE_BOS : 0u);
}

static bool print_ids(const struct ids *ids, struct err *err)
{
    struct buf b;
    buf_init(&b, MAX_INPUT_BYTES);
    prompt_write_ids(&b, ids->id, ids->n);
    buf_putc(&b, '\n');
    const bool ok = buf_check(&b, "the list of ids", err);
    if (ok) fwrite(b.data, 1, b.n_bytes, stdout);
    buf_release(&b);
    return ok;
}

/* For people: id, tab, text, one token a line. */
static void print_table(const struct tokenizer *t, const struct ids *ids)
{
    for (size_t i = 0; i < ids->n; i++) {
        size_t n = 0;
        const char *s = tokenizer_bytes(t, ids->id[i], true, &n);
        printf("%d\t", ids->id[i]);
        prompt_quote(stdout, s, n);
        putchar('\n');
    }
}

/* One JSON string a line in, one array a line out. */
static bool tokenize_lines(const struct args *a, const struct tokenizer *t, struct err *err)
{
    char *line = NULL;
    size_t cap = 0, i_line = 0;
    ssize_t n = 0;
    bool ok = true;
    struct ids ids = {0};
    while (ok && (n = getline(&line, &cap, stdin)) > 0) {
        char name[48];
        snprintf(name, sizeof name, "standard input, line %zu", ++i_line);
        struct json_doc *d = json_parse(line, (size_t)n, MAX_INPUT_BYTES, name, err);
        const char *s = NULL;
        size_t n_text = 0;
        ok =
            d && (json_str(json_root(d), &s, &n_text) ||
                  err_set(err, ERR_FORMAT, "%s: not a JSON string; write one string a line", name));
        ids.n = 0;
        ok = ok && tokenizer_encode(t, s, n_text, encode_flags(a), &ids, err) &&
             print_ids(&ids, err);
        json_free(d);
    }
    ids_release(&ids);
    free(line);
    return ok;
}

static bool tokenize_all(const struct args *a, const struct tokenizer *t, struct err *err)
{
    struct buf in;
    struct ids ids = {0};
    buf_init(&in, MAX_INPUT_BYTES);
    bool ok = file_read_fd(STDIN_FILENO, "standard input", MAX_INPUT_BYTES, &in, err) &&
              tokenizer_encode(t, in.data ? in.data : "", in.n_bytes, encode_flags(a), &ids, err);
    if (ok && args_flag(a, "json"))
        ok = print_ids(&ids, err);
    else if (ok && args_flag(a, "count"))
        printf("%zu\n", ids.n);
    else if (ok)
        print_table(t, &ids);
    ids_release(&ids);
    buf_release(&in);
    return ok;
}

static int tokenize_run(const struct args *a, struct err *err)
{
    struct tokenizer *t = open_tokenizer(a, err);
    if (!t) return 1;
    const bool ok = args_flag(a, "jsonl") ? tokenize_lines(a, t, err) : tokenize_all(a, t, err);
    tokenizer_free(t);
    return ok ? 0 : 1;
}

static bool print_text(const struct args *a, const struct tokenizer *t, const char *json, size_t n,
                       const char *name, struct err *err)
{
    struct ids ids = {0};
    struct buf text, line;
    buf_init(&text, MAX_INPUT_BYTES);
    buf_init(&line, MAX_INPUT_BYTES);
    bool ok = prompt_parse_ids(json, n, name, tokenizer_vocab(t)->n_tokens, &ids, err);
    if (ok) {
        tokenizer_decode(t, ids.id, ids.n, args_flag(a, "special"), &text);
        if (args_flag(a, "jsonl") || args_flag(a, "json")) {
            struct json_writer w = json_writer(&line);
            json_string(&w, text.data ? text.data : "", text.n_bytes);
            buf_putc(&line, '\n');
        } else {
            buf_append(&line, text.data, text.n_bytes);
        }
        ok = buf_check(&text, "the text", err) && buf_check(&line, "the text", err);
        if (ok && line.n_bytes) fwrite(line.data, 1, line.n_bytes, stdout);
    }
    ids_release(&ids);
    buf_release(&text);
    buf_release(&line);
    return ok;
}

static int detokenize_run(const struct args *a, struct err *err)
{
    struct tokenizer *t = open_tokenizer(a, err);
    if (!t) return 1;
    bool ok = true;
    if (args_flag(a, "jsonl")) {
        char *line = NULL;
        size_t cap = 0, i_line = 0;
        ssize_t n = 0;
        while (ok && (n = getline(&line, &cap, stdin)) > 0) {
            char name[48];
            snprintf(name, sizeof name, "standard input, line %zu", ++i_line);
            ok = print_text(a, t, line, (size_t)n, name, err);
        }
        free(line);
    } else {
        struct buf in;
        buf_init(&in, MAX_INPUT_BYTES);
        ok = file_read_fd(STDIN_FILENO, "standard input", MAX_INPUT_BYTES, &in, err) &&
             print_text(a, t, in.data ? in.data : "", in.n_bytes, "standard input", err);
        buf_release(&in);
    }
    tokenizer_free(t);
    return ok ? 0 : 1;
}

static const struct option tokenize_options[] = {
    /* clang-format off */
    {"special", 0, NULL, OPT_FLAG, 0, 0, NULL, NULL, false, "parse special tokens in the text"},
    {"bos",     0, NULL, OPT_FLAG, 0, 0, NULL, NULL, false, "begin with the model's BOS token"},
    {"json",    0, NULL, OPT_FLAG, 0, 0, NULL, NULL, false, "print one JSON array of ids"},
    {"jsonl",   0, NULL, OPT_FLAG, 0, 0, NULL, NULL, false, "read one JSON string a line, print an array a line"},
    {"count",   0, NULL, OPT_FLAG, 0, 0, NULL, NULL, false, "print only how many tokens there are"},
    {0},
    /* clang-format on */
};

static const struct option detokenize_options[] = {
    /* clang-format off */
    {"special", 0, NULL, OPT_FLAG, 0, 0, NULL, NULL, false, "show special tokens too"},
    {"json",    0, NULL, OPT_FLAG, 0, 0, NULL, NULL, false, "print the text as one JSON string"},
    {"jsonl",   0, NULL, OPT_FLAG, 0, 0, NULL, NULL, false, "read one array a line, print a JSON string a line"},
    {0},
    /* clang-format on */
};

static const struct option_group *const groups[] = {&model_group, NULL};

const struct command cmd_tokenize = {
    .name = "tokenize",
    .what = "text on stdin to token ids",
    .options = tokenize_options,
    .groups = groups,
    .details = "The model may also be a tokenizer.json, a tokenizer.model or a GGUF with only a "
               "vocabulary. Special tokens in the text are ordinary characters unless --special is "
               "given.",
    .example = "  echo -n 'Hello, world!' | cria tokenize --json\n"
               "  cria tokenize -m tokenizer.model --count < book.txt",
    .run = tokenize_run,
};

const struct command cmd_detokenize = {
    .name = "detokenize",
    .what = "token ids on stdin to text",
    .options = detokenize_options,
    .groups = groups,
    .example = "  echo '[504, 3575, 282, 4649]' | cria detokenize",
    .run = detokenize_run,
};
