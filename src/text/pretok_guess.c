/* SPDX-License-Identifier: Apache-2.0
 *
 * pretok_guess.c - the family of a byte-level vocabulary whose file does not name it.
 *
 * Files made before tokenizer.ggml.pre existed do not, and guessing wrong costs quality that
 * nobody sees (spec/inference.md b1, 1). A hash of the vocabulary, as peers use, fails for every
 * extended one. But a vocabulary tells how its training text was cut, because what is cut apart
 * cannot be merged:
 *
 *   llama-bpe  has tokens of two and three digits, never of four; no space before a digit; has
 *              punctuation with a newline (";\n"), and a tab or a bracket with letters ("(int").
 *   gpt-2      has digits in runs of any length and with a space in front (" 2010").
 *   smollm     has digits only one by one, and no punctuation with newlines.
 *
 * A few odd tokens may have been added by hand, so signs are counted and compared with a small
 * part of the vocabulary. The special tokens of Llama 3 at their ids settle it at once.
 */
#include "text/pretok.h"

#include <stdbool.h>
#include <string.h>

#include "text/unicode.h"

struct signs {
    int32_t n_normal;
    int32_t n_short_numbers; /* two or three digits */
    int32_t n_long_numbers;  /* four or more digits, or digits after a space */
    int32_t n_single_digits;
    int32_t n_llama3_shapes; /* ";\n", "(int" */
};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_ascii_letter(char c)
{
    return (uint8_t)c < 0x80 && (uc_class((uint8_t)c) & UC_LETTER);
}

static bool is_punctuation(char c) { return c > ' ' && c < 0x7F && !uc_class((uint8_t)c); }

static void count_numbers(struct signs *g, const char *s, size_t n)
{
    const bool has_space = s[0] == ' ';
    for (size_t i = has_space; i < n; i++)
        if (!is_digit(s[i])) return;
    if (has_space && n > 1)
        g->n_long_numbers++;
    else if (n > 3)
        g->n_long_numbers++;
    else if (n > 1)
        g->n_short_numbers++;
    else if (!has_space)
        g->n_single_digits++;
}

static void count_shape(struct signs *g, const char *s, size_t n)
{
    if (n < 3) return;
    const bool begins = (is_punctuation(s[0]) && s[0] != '\'') || s[0] == '\t';
    const bool is_word = begins && is_ascii_letter(s[1]) && is_ascii_letter(s[2]);
    const bool is_line = is_punctuation(s[n - 2]) && s[n - 1] == '\n';
    g->n_llama3_shapes += is_word || is_line;
}

static bool has_text(const struct vocab *v, int32_t id, const char *text)
{
    const size_t n = strlen(text);
    return id < v->n_tokens && v->tokens[id].n_bytes == n &&
           memcmp(v->tokens[id].bytes, text, n) == 0;
}

static bool has_llama3_specials(const struct vocab *v)
{
    static const struct {
        int32_t id;
        const char *text;
    } known[] = {
        {128000, "<|begin_of_text|>"}, {128001, "<|end_of_text|>"}, {128006, "<|start_header_id|>"},
        {128007, "<|end_header_id|>"}, {128009, "<|eot_id|>"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (!has_text(v, known[i].id, known[i].text)) return false;
    return true;
}

enum pretok pretok_guess(const struct vocab *v)
{
    if (has_llama3_specials(v)) return PRETOK_LLAMA3;
    struct signs g = {0};
    for (int32_t i = 0; i < v->n_tokens; i++) {
        const struct vocab_token *t = &v->tokens[i];
        if (t->kind != TOKEN_NORMAL || t->n_bytes == 0) continue;
        g.n_normal++;
        count_numbers(&g, t->bytes, t->n_bytes);
        count_shape(&g, t->bytes, t->n_bytes);
    }
    const int32_t few = g.n_normal / 2000; /* gpt-2: 900 such numbers in 50,257 tokens */
    if (g.n_long_numbers > few) return PRETOK_GPT2;
    if (g.n_short_numbers >= 900 || g.n_llama3_shapes > few) return PRETOK_LLAMA3;
    if (g.n_short_numbers > few) return PRETOK_GPT2;
    const bool is_grown = g.n_normal >= 1000; /* else numbers had no time to be merged */
    return is_grown && g.n_single_digits == 10 ? PRETOK_SMOLLM : PRETOK_GPT2;
}
