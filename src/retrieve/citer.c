/* SPDX-License-Identifier: Apache-2.0
 *
 * citer.c - references in a stream of text: read, checked, moved, dropped, set.
 *
 * A mark is [3], [1, 2] or [^1] outside of code; it speaks for what stands before it in its
 * sentence, from the mark before on. Text goes out at once but for its tail while that may still
 * matter: the beginning of a mark, white space that goes with a mark that is dropped, and the end
 * of a sentence, before which a missing reference is set.
 *
 * The sentence that is checked is kept without its marks. A sentence is checked against each source
 * by itself, so two half-supports are none.
 *
 * Reading begins at step().
 */
#include "retrieve/citer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "retrieve/sentence.h"
#include "retrieve/support.h"

enum {
    MAX_TAIL = 4096,   /* of what is held back */
    MAX_MARK = 64,     /* bytes of a mark */
    MAX_MARKS = 16,    /* numbers in one mark */
    MIN_OWN_WORDS = 3, /* words with content of a sentence that we give a reference */
};
static const double OWN_SCORE = 0.8; /* of a sentence that the model gave none */

#define MAX_SENTENCE ((size_t)64 << 10)
#define MAX_CITATIONS 4096

struct citer {
    struct sources *s;
    void (*text)(void *user, const char *s, size_t n_bytes);
    void *user;
    struct buf tail;                 /* came in, not yet gone out */
    struct buf sentence;             /* gone out of this sentence, without marks */
    size_t sentence_begin;           /* of the text that went out */
    size_t claim_begin;              /* of sentence: behind the last mark */
    bool has_mark;                   /* the sentence has one that stayed */
    bool is_over;                    /* its full stop is out: only marks may follow */
    int cited[SOURCES_MAX], n_cited; /* sources named in this sentence */
    int fence;                       /* backticks that opened the code we are in, 0: none */
    size_t n_out, n_out_cp;
    struct citation *citation;
    size_t n, cap;
    int n_dropped;
    bool has_failed;
    struct err err;
};

struct citer *citer_new(struct sources *s, void (*text)(void *user, const char *s, size_t n_bytes),
                        void *user)
{
    struct citer *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->s = s;
    c->text = text;
    c->user = user;
    buf_init(&c->tail, (size_t)64 << 20);
    buf_init(&c->sentence, (size_t)64 << 20);
    return c;
}

void citer_free(struct citer *c)
{
    if (!c) return;
    buf_release(&c->tail);
    buf_release(&c->sentence);
    free(c->citation);
    free(c);
}

const struct citation *citer_citations(const struct citer *c, size_t *n)
{
    *n = c->n;
    return c->citation;
}

size_t citer_sentence(const struct citer *c) { return c->sentence_begin; }

int citer_n_dropped(const struct citer *c) { return c->n_dropped; }

/* ---- out ---- */

static void put(struct citer *c, const char *s, size_t n)
{
    if (n == 0) return;
    c->text(c->user, s, n);
    c->n_out += n;
    for (size_t i = 0; i < n; i++) c->n_out_cp += ((unsigned char)s[i] & 0xC0) != 0x80;
}

/* Text of the sentence. One too long to be a sentence is begun anew. */
static void put_text(struct citer *c, const char *s, size_t n)
{
    if (c->sentence.n_bytes == 0) {
        const size_t begin = skip_space(s, n, 0);
        put(c, s, begin);
        s += begin;
        n -= begin;
        if (n > 0) c->sentence_begin = c->n_out;
    }
    put(c, s, n);
    if (c->sentence.n_bytes + n > MAX_SENTENCE) {
        buf_clear(&c->sentence);
        c->claim_begin = 0;
        return;
    }
    buf_append(&c->sentence, s, n);
}

static void put_mark(struct citer *c, size_t source, const struct support *of, bool is_ours)
{
    char mark[16];
    if (c->n == MAX_CITATIONS || c->has_failed) return;
    if (c->n == c->cap) {
        const size_t cap = c->cap ? 2 * c->cap : 16;
        struct citation *more = realloc(c->citation, cap * sizeof *more);
        c->has_failed = !more;
        if (!more) {
            err_set(&c->err, ERR_MEMORY, "no memory for the references of an answer");
            return;
        }
        c->citation = more;
        c->cap = cap;
    }
    const int number = sources_number(c->s, source, &c->err);
    c->has_failed = number == 0;
    if (!number) return;
    const size_t n = (size_t)snprintf(mark, sizeof mark, "[%d]", number);
    c->citation[c->n++] = (struct citation){
        .number = number,
        .source = source,
        .passage = sources_passage(c->s, source)->id,
        .begin = c->n_out,
        .end = c->n_out + n,
        .begin_cp = c->n_out_cp,
        .end_cp = c->n_out_cp + n,
        .quote_begin = of->begin,
        .quote_end = of->end,
        .score = of->score,
        .is_ours = is_ours,
    };
    put(c, mark, n);
    c->cited[c->n_cited++] = (int)source;
    c->has_mark = true;
}

/* ---- checking ---- */

static bool is_cited(const struct citer *c, size_t source)
{
    for (int i = 0; i < c->n_cited; i++)
        if (c->cited[i] == (int)source) return true;
    return false;
}

/* The source that supports the claim best, -1 if none does. */
static int best_source(const struct citer *c, const char *claim, size_t n, struct support *out)
{
    int best = -1;
    for (size_t i = 0; i < sources_n(c->s); i++) {
        const struct support s = support_of(claim, n, sources_passage(c->s, i));
        if (!s.is_supported || (best >= 0 && s.score <= out->score)) continue;
        best = (int)i;
        *out = s;
    }
    return best;
}

/* What the mark speaks for: from the last mark on, or the sentence if that says too little. */
static struct support check(const struct citer *c, size_t source)
{
    const struct passage *p = sources_passage(c->s, source);
    const char *s = c->sentence.data ? c->sentence.data : "";
    const size_t n = c->sentence.n_bytes, from = c->claim_begin;
    const struct support part = support_of(s + from, n - from, p);
    return part.is_supported || from == 0 ? part : support_of(s, n, p);
}

/* A number of a mark: the source that it stands for after checking, -1: none. */
static int settle(const struct citer *c, int number, struct support *out)
{
    const int source = sources_by_mark(c->s, number);
    if (source >= 0) {
        *out = check(c, (size_t)source);
        if (out->is_supported) return is_cited(c, (size_t)source) ? -1 : source;
    }
    const char *s = c->sentence.data ? c->sentence.data : "";
    const int other = best_source(c, s + c->claim_begin, c->sentence.n_bytes - c->claim_begin, out);
    return other >= 0 && !is_cited(c, (size_t)other) ? other : -1;
}

/* The numbers of a mark of the model. `space`: what stands before it, and goes if all of it goes.
 */
static void use_mark(struct citer *c, const char *space, size_t n_space, const int *number, int n)
{
    bool is_first = true;
    for (int i = 0; i < n && c->n_cited < SOURCES_MAX; i++) {
        struct support of = {0};
        const int source = settle(c, number[i], &of);
        if (source < 0) {
            const int named = sources_by_mark(c->s, number[i]);
            if (named < 0 || !is_cited(c, (size_t)named)) c->n_dropped++;
            continue;
        }
        if (is_first) put(c, space, n_space);
        is_first = false;
        put_mark(c, (size_t)source, &of, false);
    }
    c->claim_begin = c->sentence.n_bytes;
}

static bool is_question(const char *end, size_t n) { return n > 0 && memchr(end, '?', n) != NULL; }

/* The sentence is whole but for `end`, its full stop, before which a reference is set if there is
 * none. Begins the next. */
static void end_sentence(struct citer *c, const char *end, size_t n_end)
{
    if (!c->has_mark && c->sentence.n_bytes && !is_question(end, n_end)) {
        struct support of = {0};
        const int source = best_source(c, c->sentence.data, c->sentence.n_bytes, &of);
        if (source >= 0 && of.score >= OWN_SCORE && of.n_words >= MIN_OWN_WORDS) {
            put(c, " ", 1);
            put_mark(c, (size_t)source, &of, true);
        }
    }
    put(c, end, n_end);
    buf_clear(&c->sentence);
    c->claim_begin = 0;
    c->has_mark = c->is_over = false;
    c->n_cited = 0;
}

/* ---- reading ---- */

/* A mark at s: its length, 0 if there is none, -1 if more text must come to know. */
static int read_mark(const char *s, size_t n, bool is_end, int number[MAX_MARKS], int *n_numbers)
{
    size_t i = 1;
    int value = -1;
    *n_numbers = 0;
    if (s[0] != '[') return 0;
    if (i < n && s[i] == '^') i++;
    for (; i < n && i < MAX_MARK; i++) {
        if (s[i] >= '0' && s[i] <= '9') {
            value = (value < 0 ? 0 : value) * 10 + (s[i] - '0');
            if (value > 999) return 0;
        } else if (s[i] == ',' || s[i] == ';' || s[i] == ']') {
            if (value < 0 || *n_numbers == MAX_MARKS) return 0;
            number[(*n_numbers)++] = value;
            value = -1;
            if (s[i] == ']') break;
        } else if (s[i] != ' ' || (value >= 0 && i + 1 < n && s[i + 1] >= '0' && s[i + 1] <= '9')) {
            return 0;
        }
    }
    if (i == MAX_MARK) return 0;
    if (i >= n) return is_end ? 0 : -1;
    if (i + 1 == n && !is_end) return -1; /* a link's address may follow */
    return i + 1 < n && (s[i + 1] == '(' || s[i + 1] == ':') ? 0 : (int)i + 1;
}

static size_t run_of(const char *s, size_t n, const char *set)
{
    size_t i = 0;
    while (i < n && s[i] && strchr(set, s[i])) i++;
    return i;
}

/* Code: all goes out as it is until as many backticks close it. Returns the bytes used, 0: wait. */
static size_t step_code(struct citer *c, const char *s, size_t n, bool is_end)
{
    const size_t n_ticks = run_of(s, n, "`");
    if (n_ticks == n && !is_end) return 0;
    if (n_ticks == 0) {
        const size_t n_line = strcspn(s, "`\n"), n_take = n_line < n ? n_line : n;
        if (n_take == 0) { /* a line feed: ends code within a line */
            if (c->fence < 3) c->fence = 0;
            put_text(c, s, 1);
            return 1;
        }
        put_text(c, s, n_take);
        return n_take;
    }
    if (c->fence == 0)
        c->fence = (int)n_ticks;
    else if (c->fence == (int)n_ticks || (c->fence >= 3 && (int)n_ticks > c->fence))
        c->fence = 0;
    put_text(c, s, n_ticks);
    return n_ticks;
}

/* White space, and a mark that may follow it. */
static size_t step_space(struct citer *c, const char *s, size_t n, bool is_end)
{
    int number[MAX_MARKS], n_numbers = 0;
    const size_t n_space = run_of(s, n, " \t");
    if (n_space == n && !is_end) return 0;
    const int n_mark =
        n_space < n ? read_mark(s + n_space, n - n_space, is_end, number, &n_numbers) : 0;
    if (n_mark < 0) return 0;
    if (n_mark == 0) {
        const size_t n_take = n_space + (n_space < n && s[n_space] == '[');
        put_text(c, s, n_take);
        return n_take;
    }
    use_mark(c, s, n_space, number, n_numbers);
    return n_space + (size_t)n_mark;
}

/* . ! ? and what closes behind it: the end of a sentence, if what follows says so. */
static size_t step_stop(struct citer *c, const char *s, size_t n, bool is_end)
{
    int number[MAX_MARKS], n_numbers = 0;
    size_t n_stop = run_of(s, n, ".!?");
    n_stop += run_of(s + n_stop, n - n_stop, "\"')*_");
    const size_t n_space = run_of(s + n_stop, n - n_stop, " \t");
    const size_t next = n_stop + n_space;
    if (next == n && !is_end) return 0;
    const int n_mark = next < n ? read_mark(s + next, n - next, is_end, number, &n_numbers) : 0;
    if (n_mark < 0) return 0;
    if (n_mark > 0) { /* "... Paris. [1]": speaks for the sentence before it */
        put_text(c, s, n_stop);
        use_mark(c, s + n_stop, n_space, number, n_numbers);
        c->is_over = true;
        return next + (size_t)n_mark;
    }
    const size_t n_before = c->sentence.n_bytes;
    buf_append(&c->sentence, s, n);
    if (c->sentence.is_failed) return n;
    const bool ends = sentence_end(c->sentence.data, c->sentence.n_bytes, 0) <= n_before + n_stop;
    c->sentence.n_bytes = n_before;
    c->sentence.data[n_before] = '\0';
    if (ends || next == n)
        end_sentence(c, s, n_stop);
    else
        put_text(c, s, n_stop);
    return n_stop;
}

static size_t step(struct citer *c, const char *s, size_t n, bool is_end)
{
    if (c->fence || *s == '`') return step_code(c, s, n, is_end);
    if (*s == '\n') {
        end_sentence(c, s, 1);
        return 1;
    }
    if (c->is_over && *s != ' ' && *s != '\t' && *s != '[') end_sentence(c, "", 0);
    if (*s == ' ' || *s == '\t' || *s == '[') return step_space(c, s, n, is_end);
    if (*s == '.' || *s == '!' || *s == '?') return step_stop(c, s, n, is_end);
    size_t n_plain = 0;
    while (n_plain < n && !(s[n_plain] && strchr("\n \t[.!?`", s[n_plain]))) n_plain++;
    put_text(c, s, n_plain);
    return n_plain;
}

static bool work(struct citer *c, bool is_end, struct err *err)
{
    size_t at = 0, used = 1;
    if (!buf_check(&c->tail, "an answer with references", err)) return false;
    while (at < c->tail.n_bytes && used) {
        used = step(c, c->tail.data + at, c->tail.n_bytes - at, is_end);
        if (!used && c->tail.n_bytes - at > MAX_TAIL) {
            put_text(c, c->tail.data + at, 1);
            used = 1;
        }
        at += used;
    }
    if (at) memmove(c->tail.data, c->tail.data + at, c->tail.n_bytes - at + 1);
    c->tail.n_bytes -= at;
    if (c->has_failed) *err = c->err;
    return !c->has_failed && buf_check(&c->sentence, "a sentence with references", err);
}

bool citer_feed(struct citer *c, const char *s, size_t n_bytes, struct err *err)
{
    if (n_bytes == 0) return true;
    buf_append(&c->tail, s, n_bytes);
    return work(c, false, err);
}

bool citer_end(struct citer *c, struct err *err)
{
    if (c->tail.n_bytes && !work(c, true, err)) return false;
    end_sentence(c, "", 0);
    if (c->has_failed) *err = c->err;
    return !c->has_failed;
}

void citation_write(struct json_writer *w, const struct sources *s, const struct citation *c)
{
    const struct passage *p = sources_passage(s, c->source);
    json_key_int(w, "number", c->number);
    json_key_int(w, "passage", c->passage);
    json_key_cstring(w, "title", *p->heading ? p->heading : p->title);
    json_key_cstring(w, "path", p->path);
    json_key_uint(w, "begin_byte", p->begin + c->quote_begin);
    json_key_uint(w, "end_byte", p->begin + c->quote_end);
    json_key(w, "quote");
    json_string(w, p->body + c->quote_begin, c->quote_end - c->quote_begin);
    json_key_double(w, "score", c->score);
    json_key_boolean(w, "by_model", !c->is_ours);
}
