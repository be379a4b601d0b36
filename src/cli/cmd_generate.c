/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_generate.c - `cria generate`: one prompt in, one answer (or n) out; for pipes and scripts.
 *
 * The answer streams to stdout as it comes, or is one JSON object with ids and timings. The prompt
 * is a user's turn in the model's chat template; a base model, or --raw, takes it as it is. Reading
 * begins at generate_run().
 */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/os.h"
#include "cli/footnotes.h"
#include "cli/npy.h"
#include "cli/options.h"
#include "cli/prompt.h"

#define MAX_PROMPT_BYTES ((size_t)64 << 20)
#define MAX_ANSWERS 64

/* What one answer has become so far. */
struct answer {
    struct buf text;
    struct ids ids;
    struct buf logprobs; /* JSON array elements */
    struct citer *citer; /* with --index */
    struct generation *of;
    enum finish finish;
    const char *stop_text;
    int32_t n_drafted, n_accepted;
};

struct generation {
    const struct args *a;
    struct session s;
    struct grammar *grammar; /* or NULL */
    struct sources *sources; /* likewise */
    struct ids prompt;
    struct answer answer[MAX_ANSWERS];
    int32_t n_answers;
    bool is_json, has_failed;
    int64_t begin_ns, first_ns, end_ns;
    int32_t n_cached, n_decoded;
    struct err *err;
};

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    is_interrupted = 1;
}

static void note_logprobs(struct generation *g, struct answer *an, const struct engine_event *ev)
{
    const struct tokenizer *t = model_tokenizer(g->s.model);
    if (an->logprobs.n_bytes) buf_putc(&an->logprobs, ',');
    struct json_writer w = json_writer(&an->logprobs);
    json_object(&w);
    json_key_int(&w, "token", ev->token);
    json_key_float(&w, "logprob", ev->sampled->logprob);
    json_key(&w, "top");
    json_array(&w);
    for (int32_t i = 0; i < ev->sampled->n_top; i++) {
        size_t n = 0;
        const char *s = tokenizer_bytes(t, ev->sampled->top[i].id, true, &n);
        json_object(&w);
        json_key_int(&w, "token", ev->sampled->top[i].id);
        json_key(&w, "text");
        json_string(&w, s, n);
        json_key_float(&w, "logprob", ev->sampled->top[i].logprob);
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
}

static void give_text(void *user, const char *s, size_t n_bytes)
{
    struct answer *an = user;
    buf_append(&an->text, s, n_bytes);
    if (an->of->is_json || an->of->n_answers > 1) return;
    fwrite(s, 1, n_bytes, stdout);
    fflush(stdout);
}

static bool take_text(struct answer *an, const struct engine_event *ev)
{
    if (!an->citer) {
        if (ev->n_text) give_text(an, ev->text, ev->n_text);
        return true;
    }
    if (!citer_feed(an->citer, ev->text, ev->n_text, an->of->err)) return false;
    return ev->finish == FINISH_NONE || citer_end(an->citer, an->of->err);
}

static bool on_event(void *user, const struct engine_event *ev)
{
    struct generation *g = user;
    struct answer *an = &g->answer[ev->i_answer];
    const int64_t now = clock_ns();
    if (ev->token >= 0) {
        if (!g->first_ns) g->first_ns = now;
        g->n_decoded++;
        if (!ids_push(&an->ids, ev->token, g->err)) g->has_failed = true;
        if (ev->sampled && args_int(g->a, "logprobs") > 0) note_logprobs(g, an, ev);
    }
    g->n_cached = ev->n_cached;
    an->n_drafted = ev->n_drafted;
    an->n_accepted = ev->n_accepted;
    if (!take_text(an, ev)) g->has_failed = true;
    if (ev->finish != FINISH_NONE) {
        an->finish = ev->finish;
        an->stop_text = ev->stop_text ? strdup(ev->stop_text) : NULL;
        g->end_ns = now;
        if (ev->finish == FINISH_ERROR && ev->err) {
            *g->err = *ev->err;
            g->has_failed = true;
        }
    }
    return !is_interrupted && !g->has_failed;
}

/* The user's words: -p, or a file, or stdin. */
static bool read_prompt(const struct args *a, struct buf *out, struct err *err)
{
    const char *text = args_str(a, "prompt"), *file = args_str(a, "file");
    if (text) {
        buf_puts(out, text);
        return buf_check(out, "the prompt", err);
    }
    if (file) return file_read_all(file, MAX_PROMPT_BYTES, out, err);
    return file_read_fd(STDIN_FILENO, "standard input", MAX_PROMPT_BYTES, out, err);
}

/* The question with its sources, in place of `text`. */
static bool add_sources(struct generation *g, struct buf *text, struct err *err)
{
    struct buf asked;
    const size_t n_ctx = (size_t)engine_plan(g->s.engine)->n_ctx;
    const char *s = text->data ? text->data : "";
    buf_init(&asked, 2 * MAX_PROMPT_BYTES);
    const bool ok =
        sources_find(g->sources, s, text->n_bytes, NULL, err) &&
        sources_prompt(g->sources, s, text->n_bytes,
                       n_ctx < SOURCES_MAX_BYTES ? n_ctx : SOURCES_MAX_BYTES, &asked, err);
    buf_release(text);
    *text = asked;
    return ok;
}

static bool encode_prompt(struct generation *g, struct buf *text, struct err *err)
{
    const struct chat_family *family = model_chat_family(g->s.model);
    const bool is_raw = args_flag(g->a, "ids") || args_flag(g->a, "raw") || !family;
    if (g->sources && is_raw)
        return err_set(err, ERR_USAGE,
                       "--index writes a question with its sources into a chat's prompt: not with "
                       "--raw, --ids, or a model without a chat template");
    if (g->sources && !add_sources(g, text, err)) return false;
    const struct model *m = g->s.model;
    const struct tokenizer *t = model_tokenizer(m);
    const char *s = text->data ? text->data : "";
    if (args_flag(g->a, "ids"))
        return prompt_parse_ids(s, text->n_bytes, "the prompt", model_config(m)->n_vocab,
                                &g->prompt, err);
    if (is_raw) {
        const unsigned special = args_flag(g->a, "special") ? ENCODE_SPECIAL : 0u;
        return tokenizer_encode(t, s, text->n_bytes, ENCODE_DEFAULT_BOS | special, &g->prompt, err);
    }
    char today[32];
    prompt_today(today);
    struct chat_message message[2];
    size_t n = 0;
    const char *system = args_str(g->a, "system");
    if (system) message[n++] = (struct chat_message){"system", system, strlen(system), NULL};
    message[n++] = (struct chat_message){"user", s, text->n_bytes, NULL};
    const struct chat_input in = {
        .message = message, .n_messages = n, .opens_answer = true, .date = today};
    return chat_encode(family, &in, t, &g->prompt, err);
}

static bool save_logits_row(void *user, int32_t pos, const float *logits)
{
    (void)pos;
    return npy_row(user, logits);
}

static bool dump_logits(struct generation *g, const char *path, struct err *err)
{
    struct npy *f = npy_open(path, (int64_t)g->prompt.n, model_config(g->s.model)->n_vocab, err);
    if (!f) return false;
    const bool ok =
        engine_score(g->s.engine, g->prompt.id, (int32_t)g->prompt.n, 0, save_logits_row, f, err);
    if (!ok) {
        npy_abandon(f, err);
        return false;
    }
    return npy_commit(f, err);
}

static void sum_guesses(const struct generation *g, int64_t *n_drafted, int64_t *n_accepted)
{
    *n_drafted = *n_accepted = 0;
    for (int32_t i = 0; i < g->n_answers; i++) {
        *n_drafted += g->answer[i].n_drafted;
        *n_accepted += g->answer[i].n_accepted;
    }
}

static void write_speculation(struct json_writer *w, const struct generation *g)
{
    int64_t n_drafted = 0, n_accepted = 0;
    sum_guesses(g, &n_drafted, &n_accepted);
    json_key(w, "speculation");
    json_object(w);
    json_key_int(w, "drafted", n_drafted);
    json_key_int(w, "accepted", n_accepted);
    json_end(w);
}

static void write_timings(struct json_writer *w, const struct generation *g)
{
    const double first_s = (double)(g->first_ns - g->begin_ns) * 1e-9;
    const double rest_s = (double)(g->end_ns - g->first_ns) * 1e-9;
    const double n_read = (double)g->prompt.n - (double)g->n_cached;
    const double n_later = (double)g->n_decoded - 1;
    json_key(w, "timings");
    json_object(w);
    json_key_double(w, "load_ms", round((double)g->s.load_ns * 1e-4) / 100);
    json_key_double(w, "first_token_ms", g->first_ns ? round(first_s * 1e5) / 100 : NAN);
    json_key_double(w, "prompt_tps",
                    g->first_ns && first_s > 0 ? round(100 * n_read / first_s) / 100 : NAN);
    json_key_double(w, "decode_tps",
                    n_later > 0 && rest_s > 0 ? round(100 * n_later / rest_s) / 100 : NAN);
    json_end(w);
}

static void write_answer(struct json_writer *w, const struct answer *an)
{
    json_key(w, "text");
    json_string(w, an->text.data ? an->text.data : "", an->text.n_bytes);
    json_key(w, "tokens");
    json_array(w);
    for (size_t i = 0; i < an->ids.n; i++) json_int(w, an->ids.id[i]);
    json_end(w);
    json_key_cstring(w, "finish_reason", finish_name(an->finish));
    if (an->stop_text) {
        json_key_cstring(w, "stop_text", an->stop_text);
    }
    if (an->logprobs.n_bytes) {
        json_key(w, "logprobs");
        json_array(w);
        json_raw(w, an->logprobs.data, an->logprobs.n_bytes);
        json_end(w);
    }
    if (an->citer) {
        size_t n = 0;
        const struct citation *c = citer_citations(an->citer, &n);
        json_key(w, "citations");
        footnotes_json(w, an->of->sources, c, n);
        json_key_int(w, "n_dropped", citer_n_dropped(an->citer));
    }
}

static bool print_json(const struct generation *g, struct err *err)
{
    struct buf b;
    buf_init(&b, (size_t)1 << 30);
    struct json_writer w = json_writer(&b);
    json_object(&w);
    write_answer(&w, &g->answer[0]);
    json_key_int(&w, "prompt_tokens", (int64_t)g->prompt.n);
    json_key_int(&w, "cached_tokens", g->n_cached);
    if (g->n_answers > 1) {
        json_key(&w, "answers");
        json_array(&w);
        for (int32_t i = 0; i < g->n_answers; i++) {
            json_object(&w);
            write_answer(&w, &g->answer[i]);
            json_end(&w);
        }
        json_end(&w);
    }
    write_speculation(&w, g);
    write_timings(&w, g);
    json_end(&w);
    const bool ok = buf_check(&b, "the result", err);
    if (ok) printf("%s\n", b.data);
    buf_release(&b);
    return ok;
}

static bool fill_request(struct generation *g, struct request_params *p,
                         struct logit_bias bias[SAMPLER_MAX_BIAS], struct err *err)
{
    const struct args *a = g->a;
    *p = request_defaults();
    p->prompt = g->prompt.id;
    p->n_prompt = (int32_t)g->prompt.n;
    p->n_predict = (int32_t)args_int(a, "n");
    p->n_answers = g->n_answers;
    if (!options_sampling(a, model_tokenizer(g->s.model), bias, &p->sampling, err)) return false;
    p->sampling.n_logprobs = (int32_t)args_int(a, "logprobs");
    p->n_stop = args_count(a, "stop");
    if (p->n_stop > ENGINE_MAX_STOPS)
        return err_set(err, ERR_USAGE, "--stop: %d times; at most %d", p->n_stop, ENGINE_MAX_STOPS);
    for (int i = 0; i < p->n_stop; i++) p->stop[i] = args_nth(a, "stop", i);
    p->ignores_eos = args_flag(a, "ignore-eos");
    p->grammar = g->grammar;
    p->shows_special = args_flag(a, "special");
    p->shifts_context = args_flag(a, "context-shift");
    p->n_keep = (int32_t)args_int(a, "keep");
    p->listener = on_event;
    p->user = g;
    return true;
}

static void print_sources(const struct generation *g, const struct answer *an)
{
    size_t n = 0;
    const struct citation *c = an->citer ? citer_citations(an->citer, &n) : NULL;
    if (n) footnotes_print(stdout, g->sources, c, n);
}

static void print_answers(const struct generation *g)
{
    if (g->n_answers == 1) {
        const struct buf *t = &g->answer[0].text;
        if (t->n_bytes && t->data[t->n_bytes - 1] != '\n') putchar('\n');
        print_sources(g, &g->answer[0]);
        return;
    }
    for (int32_t i = 0; i < g->n_answers; i++) {
        printf("--- answer %d (%s)\n%s\n", i + 1, finish_name(g->answer[i].finish),
               g->answer[i].text.data ? g->answer[i].text.data : "");
        print_sources(g, &g->answer[i]);
    }
}

static void print_stats(const struct generation *g)
{
    int64_t n_drafted = 0, n_accepted = 0;
    if (g->is_json || args_flag(g->a, "quiet") || !g->first_ns) return;
    sum_guesses(g, &n_drafted, &n_accepted);
    const double first_s = (double)(g->first_ns - g->begin_ns) * 1e-9;
    const double rest_s = (double)(g->end_ns - g->first_ns) * 1e-9;
    fprintf(stderr, "[%zu prompt tokens, first token after %.0f ms; %d tokens", g->prompt.n,
            first_s * 1e3, g->n_decoded);
    if (g->n_decoded > 1 && rest_s > 0)
        fprintf(stderr, ", %.1f tokens/s", (g->n_decoded - 1) / rest_s);
    if (n_drafted > 0)
        fprintf(stderr, ", %" PRId64 " of %" PRId64 " guesses right", n_accepted, n_drafted);
    fprintf(stderr, "; ended by %s]\n", finish_name(g->answer[0].finish));
}

static void warn_of_context(const struct generation *g)
{
    for (int32_t i = 0; i < g->n_answers; i++)
        if (g->answer[i].finish == FINISH_CONTEXT) {
            log_warn("the context of %d tokens is full, so the answer ends here; --ctx gives more "
                     "room, --context-shift drops the older half and goes on",
                     engine_plan(g->s.engine)->n_ctx);
            return;
        }
}

static bool generate(struct generation *g, struct err *err)
{
    struct buf text;
    buf_init(&text, MAX_PROMPT_BYTES);
    const bool has_prompt = read_prompt(g->a, &text, err) && encode_prompt(g, &text, err);
    buf_release(&text);
    if (!has_prompt) return false;
    if (args_flag(g->a, "show-prompt"))
        prompt_show(stderr, model_tokenizer(g->s.model), g->prompt.id, g->prompt.n);
    if (g->prompt.n == 0)
        return err_set(err, ERR_USAGE,
                       "the prompt is empty and this model has no BOS token; give a prompt");
    const char *logits = args_str(g->a, "dump-logits");
    if (logits && !dump_logits(g, logits, err)) return false;
    struct logit_bias *bias = calloc(SAMPLER_MAX_BIAS, sizeof *bias);
    struct request_params p;
    bool ok = bias || err_set(err, ERR_MEMORY, "no memory for --bias");
    ok = ok && fill_request(g, &p, bias, err);
    if (ok && p.n_predict != 0) {
        g->begin_ns = clock_ns();
        ok = engine_run(g->s.engine, &p, err) && !g->has_failed;
    } else {
        for (int32_t i = 0; i < g->n_answers; i++) g->answer[i].finish = FINISH_LENGTH;
    }
    free(bias);
    return ok;
}

static bool open_sources(struct generation *g, struct err *err)
{
    if (!options_sources(g->a, &g->sources, err)) return false;
    for (int32_t i = 0; g->sources && i < g->n_answers; i++) {
        g->answer[i].citer = citer_new(g->sources, give_text, &g->answer[i]);
        if (!g->answer[i].citer) return err_set(err, ERR_MEMORY, "no memory for the references");
    }
    return true;
}

static int generate_run(const struct args *a, struct err *err)
{
    if (args_str(a, "prompt") && args_str(a, "file")) {
        err_set(err, ERR_USAGE, "--prompt and --file together; give one of them");
        return 2;
    }
    struct generation *g = calloc(1, sizeof *g);
    if (!g) {
        err_set(err, ERR_MEMORY, "no memory for the answer");
        return 1;
    }
    g->a = a;
    g->err = err;
    g->is_json = args_flag(a, "json");
    g->n_answers = (int32_t)args_int(a, "answers");
    for (int32_t i = 0; i < g->n_answers; i++) {
        buf_init(&g->answer[i].text, (size_t)1 << 28);
        buf_init(&g->answer[i].logprobs, (size_t)1 << 28);
        g->answer[i].of = g;
    }
    struct sigaction sa = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &sa, NULL);
    struct engine_options opt = options_engine_draft(a);
    opt.n_seqs = g->n_answers;
    opt.takes_adapters = options_has_lora(a);
    if (args_str(a, "dump-logits")) opt.max_logit_rows = 64;
    bool ok = options_grammar(a, &g->grammar, err) && open_sources(g, err) &&
              session_open(a, &opt, &g->s, err) && session_use_lora(&g->s, err) && generate(g, err);
    if (ok && g->is_json)
        ok = print_json(g, err);
    else if (ok)
        print_answers(g);
    if (ok) print_stats(g);
    if (ok) warn_of_context(g);
    for (int32_t i = 0; i < g->n_answers; i++) {
        buf_release(&g->answer[i].text);
        buf_release(&g->answer[i].logprobs);
        ids_release(&g->answer[i].ids);
        citer_free(g->answer[i].citer);
        free((char *)(uintptr_t)g->answer[i].stop_text);
    }
    ids_release(&g->prompt);
    session_close(&g->s);
    sources_close(g->sources);
    grammar_free(g->grammar);
    free(g);
    return ok ? 0 : 1;
}

static const struct option options[] = {
    /* clang-format off */
    /* name          letter arg     kind      min max      default choices rep    help */
    {"prompt",        'p', "TEXT",  OPT_STR,  0,  0,       NULL,   NULL,   false, "the prompt; without it (and --file) it is read from stdin"},
    {"file",          'f', "FILE",  OPT_FILE, 0,  0,       NULL,   NULL,   false, "read the prompt from a file"},
    {"n",             'n', "N",     OPT_INT,  -1, 1048576, "-1",   NULL,   false, "most tokens to generate; -1: until the model stops"},
    {"system",        0,   "TEXT",  OPT_STR,  0,  0,       NULL,   NULL,   false, "system message"},
    {"raw",           0,   NULL,    OPT_FLAG, 0,  0,       NULL,   NULL,   false, "apply no chat template: continue the text"},
    {"ids",           0,   NULL,    OPT_FLAG, 0,  0,       NULL,   NULL,   false, "the prompt is a JSON array of token ids"},
    {"special",       0,   NULL,    OPT_FLAG, 0,  0,       NULL,   NULL,   false, "parse special tokens in a raw prompt, show them in the answer"},
    {"stop",          0,   "TEXT",  OPT_STR,  0,  0,       NULL,   NULL,   true,  "end the answer before this text"},
    {"ignore-eos",    0,   NULL,    OPT_FLAG, 0,  0,       NULL,   NULL,   false, "go on after the end token"},
    {"answers",       0,   "N",     OPT_INT,  1,  MAX_ANSWERS, "1", NULL,  false, "how many answers to the prompt (they share its cache)"},
    {"logprobs",      0,   "N",     OPT_INT,  0,  SAMPLER_MAX_LOGPROBS, "0", NULL, false, "with --json: the N likeliest tokens at each step"},
    {"context-shift", 0,   NULL,    OPT_FLAG, 0,  0,       NULL,   NULL,   false, "when the context is full drop its older half and go on"},
    {"keep",          0,   "N",     OPT_INT,  0,  1048576, "0",    NULL,   false, "tokens at the beginning that a context shift keeps"},
    {"dump-logits",   0,   "F.npy", OPT_FILE, 0,  0,       NULL,   NULL,   false, "write the logits of every prompt position as float32"},
    {"show-prompt",   0,   NULL,    OPT_FLAG, 0,  0,       NULL,   NULL,   false, "print the final prompt with its token borders on stderr"},
    {"json",          0,   NULL,    OPT_FLAG, 0,  0,       NULL,   NULL,   false, "print one JSON object: text, tokens, finish_reason, timings"},
    {0},
    /* clang-format on */
};

static const struct option_group *const groups[] = {
    &model_group, &lora_group,       &engine_group,   &sources_group,
    &draft_group, &constraint_group, &sampling_group, NULL};

const struct command cmd_generate = {
    .name = "generate",
    .what = "answer one prompt, for pipes and scripts",
    .options = options,
    .groups = groups,
    .details =
        "The prompt becomes a user's turn in the model's chat template, unless --raw is given "
        "or the model has none. The answer streams to stdout; talk goes to stderr.",
    .example = "  cria generate --system 'Answer the question correctly.' -p 'What is the capital "
               "of France?'\n"
               "  cria generate --raw -p 'Once upon a time' -n 64 --json\n"
               "  git diff | cria generate --system 'Summarise this change in one line.'",
    .run = generate_run,
};
