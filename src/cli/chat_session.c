/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_session.c - a conversation with a model: its messages, one turn on the engine, what it cost.
 *
 * A turn renders the whole conversation by the model's template and gives it to the engine, whose
 * prefix cache holds all of it but the new message; so no state is kept here that could differ from
 * the messages, and /load, /regen and /system need nothing special.
 *
 * A conversation that has outgrown the context is refused with the remedies, or with
 * --context-shift forgets its oldest turns, whole ones, until a quarter of the context is free; the
 * engine shifts only inside one long answer. The system message stays in both cases.
 *
 * Models under a billion parameters wander when nobody says how to draw their answers: at the usual
 * temperature of 0.8 the default model names the capital of France in 5 of 10 tries, at 0.2 in 6.
 * So they get the defaults in small_defaults: temperature 0, a penalty on phrases of more than
 * eight tokens that come again (else a greedy answer may circle until the context is full), and a
 * plain system message (with the one of its template the default model's first word is a toss-up
 * between English and French). Scripts get temperature 0, too: they want the same answer each time.
 * /regen then draws at the usual temperature.
 *
 * Reading begins at chat_session_ask().
 */
#include "cli/chat_session.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/log.h"
#include "base/os.h"
#include "cli/prompt.h"

#define MAX_ANSWER_BYTES ((size_t)64 << 20)
#define SMALL_MODEL_PARAMS 1000000000u

/* One answer under way. */
struct run {
    struct chat_session *c;
    struct citer *citer; /* with --index */
    struct buf text;
    int64_t begin_ns, first_ns, end_ns;
    struct turn turn;
    bool is_over;
    struct err err;
};

static bool find_family(struct chat_session *c, struct err *err)
{
    const char *name = args_str(c->args, "template");
    c->family = name ? chat_family_by_name(name) : model_chat_family(c->s.model);
    return c->family ||
           err_set(
               err, ERR_UNSUPPORTED,
               "%s: a base model, it has no chat template; use cria generate --raw to continue a "
               "text, or name a template with --template",
               c->s.path);
}

static const struct {
    const char *name, *value;
} small_defaults[] = {{"temp", "0"}, {"dry", "1"}, {"dry-length", "8"}};
static const char small_system[] = "Answer the question correctly.";

/* A wrong --bias is told here, too, not at the first answer. */
static bool choose_defaults(struct chat_session *c, bool is_script, struct err *err)
{
    struct sampler_params p;
    const struct args *a = c->args;
    const struct tokenizer *t = model_tokenizer(c->s.model);
    const bool is_small = model_info(c->s.model)->n_params < SMALL_MODEL_PARAMS;
    const size_t n = is_small ? ARRAY_LEN(small_defaults) : is_script ? 1 : 0;
    c->is_temp_ours = n > 0 && !args_has(a, "temp");
    for (size_t i = 0; i < n; i++)
        if (!args_has(a, small_defaults[i].name) &&
            !chat_settings_set(&c->settings, small_defaults[i].name, small_defaults[i].value, t,
                               err))
            return false;
    const char *system = args_has(a, "system")    ? args_str(a, "system")
                         : is_small && !c->talk.n ? small_system
                                                  : "";
    if (*system && !conversation_set_system(&c->talk, system, err)) return false;
    return chat_settings_sampling(&c->settings, t, c->bias, &p, err);
}

/* "FILE.kv" of --state; owned, NULL: no memory. */
static char *state_cache_path(const struct chat_session *c)
{
    const char *path = args_str(c->args, "state");
    const size_t n = strlen(path) + sizeof ".kv";
    char *s = malloc(n);
    if (s) snprintf(s, n, "%s.kv", path);
    return s;
}

/* The conversation must be right; the cache only saves time. */
static bool open_state(struct chat_session *c, struct err *err)
{
    const char *path = args_str(c->args, "state");
    if (!path || !path_exists(path)) return true;
    if (!conversation_load(&c->talk, path, err)) return false;
    c->has_state = true;
    struct err why = {0};
    char *cache = state_cache_path(c);
    if (cache && path_exists(cache) &&
        !engine_load_prefix(c->s.engine, cache, &c->n_state_tok, &why))
        log_warn("%s; the conversation is read again", why.text);
    free(cache);
    return true;
}

bool chat_session_keep(const struct chat_session *c, struct err *err)
{
    const char *path = args_str(c->args, "state");
    int32_t n_tok = 0;
    if (!path) return true;
    if (!conversation_save(&c->talk, path, chat_session_model(c), err)) return false;
    if (c->remote) return true;
    char *cache = state_cache_path(c);
    const bool ok = cache ? engine_save_prefix(c->s.engine, cache, &n_tok, err)
                          : err_set(err, ERR_MEMORY, "no memory for the name of the cache file");
    free(cache);
    return ok;
}

/* What only a model on this machine has. */
static bool check_remote(const struct args *a, struct err *err)
{
    static const struct option_group *const own[] = {&model_group, &lora_group, &engine_group,
                                                     &draft_group, &constraint_group};
    const char *wrong = args_has(a, "template") ? "template" : NULL;
    for (size_t g = 0; g < ARRAY_LEN(own); g++)
        for (const struct option *o = own[g]->options; o->name; o++)
            if (args_has(a, o->name)) wrong = o->name;
    return !wrong || err_set(err, ERR_USAGE,
                             "--%s with --server: it is the server's model that answers, with the "
                             "server's options; give one of them",
                             wrong);
}

static bool open_remote(struct chat_session *c, bool is_script, struct err *err)
{
    const char *system = args_str(c->args, "system");
    if (!check_remote(c->args, err) || !(c->remote = remote_open(c->args, err))) return false;
    const char *state = args_str(c->args, "state");
    if (state && path_exists(state)) {
        if (!conversation_load(&c->talk, state, err)) return false;
        c->has_state = true;
    }
    if (is_script && !args_has(c->args, "temp") &&
        !chat_settings_set(&c->settings, "temp", "0", NULL, err))
        return false;
    return !system || !*system || conversation_set_system(&c->talk, system, err);
}

static bool open_local(struct chat_session *c, bool is_script, struct err *err)
{
    struct engine_options opt = options_engine_draft(c->args);
    opt.takes_adapters = options_has_lora(c->args);
    return session_open(c->args, &opt, &c->s, err) && session_use_lora(&c->s, err) &&
           find_family(c, err) && open_state(c, err) && choose_defaults(c, is_script, err);
}

bool chat_session_open(struct chat_session *c, const struct args *a, bool is_script,
                       const struct chat_listener *listener, struct err *err)
{
    *c = (struct chat_session){.args = a, .listener = *listener};
    const bool is_remote = args_str(a, "server") != NULL;
    prompt_today(c->today);
    c->bias = calloc(SAMPLER_MAX_BIAS, sizeof *c->bias);
    if (!c->bias) {
        err_set(err, ERR_MEMORY, "no memory for the chat");
        goto fail;
    }
    if (!options_grammar(a, &c->grammar, err) || !options_sources(a, &c->sources, err) ||
        !chat_settings_init(&c->settings, a, err) ||
        !(is_remote ? open_remote(c, is_script, err) : open_local(c, is_script, err)))
        goto fail;
    return true;
fail:
    chat_session_close(c);
    return false;
}

void chat_session_close(struct chat_session *c)
{
    session_close(&c->s);
    remote_close(c->remote);
    grammar_free(c->grammar);
    sources_close(c->sources);
    conversation_release(&c->talk);
    chat_settings_release(&c->settings);
    ids_release(&c->prompt);
    free(c->bias);
    *c = (struct chat_session){0};
}

int64_t chat_session_used(const struct chat_session *c)
{
    return c->last.n_prompt + c->last.n_generated;
}

const char *chat_session_model(const struct chat_session *c)
{
    return c->remote ? remote_model(c->remote) : model_info(c->s.model)->name;
}

const struct tokenizer *chat_session_tokenizer(const struct chat_session *c)
{
    return c->remote ? NULL : model_tokenizer(c->s.model);
}

int32_t chat_session_context(const struct chat_session *c)
{
    return c->remote ? 0 : engine_plan(c->s.engine)->n_ctx;
}

/* ---- the prompt ---- */

static bool encode(struct chat_session *c, size_t n_messages, bool opens_answer, struct ids *out,
                   struct err *err)
{
    const struct chat_input in = {.message = c->talk.message,
                                  .n_messages = n_messages,
                                  .opens_answer = opens_answer,
                                  .date = c->today};
    out->n = 0;
    return chat_encode(c->family, &in, model_tokenizer(c->s.model), out, err);
}

/* Renders the conversation into c->prompt, such that it fits the context. */
static bool fit_prompt(struct chat_session *c, struct turn *turn, struct err *err)
{
    const int32_t n_ctx = chat_session_context(c);
    const bool shifts = chat_settings_shifts(&c->settings);
    const size_t n_wanted = shifts ? (size_t)n_ctx - (size_t)n_ctx / 4 : (size_t)n_ctx - 1;
    const size_t n_before = c->talk.n;
    if (!encode(c, c->talk.n, true, &c->prompt, err)) return false;
    while (c->prompt.n > n_wanted && shifts && conversation_drop_oldest(&c->talk))
        if (!encode(c, c->talk.n, true, &c->prompt, err)) return false;
    turn->n_forgotten = (int64_t)(n_before - c->talk.n);
    turn->n_prompt = (int64_t)c->prompt.n;
    if (c->prompt.n < (size_t)n_ctx) return true;
    return err_set(
        err, ERR_LIMIT,
        "the context is full: the conversation comes to %zu tokens, and there is room for "
        "%d; /reset begins a new one, --ctx %zu holds it, --context-shift forgets old turns",
        c->prompt.n, n_ctx, (c->prompt.n + c->prompt.n / 2 + 1023) / 1024 * 1024);
}

/* The question before the newest, or NULL. */
static const char *question_before(const struct chat_session *c)
{
    for (size_t i = c->talk.n - 1; i-- > 0;)
        if (strcmp(c->talk.message[i].role, "user") == 0) return c->talk.message[i].content;
    return NULL;
}

static bool ask_remote(struct chat_session *c, struct run *r, struct err *err);

/* fit_prompt(), or the whole question to a server, with sources beside the newest question. They
 * are not kept: the next question has its own. */
static bool with_sources(struct chat_session *c, struct run *r, struct err *err)
{
    struct buf asked;
    const struct chat_message question = c->talk.message[c->talk.n - 1];
    const size_t n_ctx = c->remote ? SOURCES_MAX_BYTES : (size_t)chat_session_context(c);
    buf_init(&asked, MAX_ANSWER_BYTES);
    bool ok =
        sources_find(c->sources, question.content, question.n_content, question_before(c), err) &&
        sources_prompt(c->sources, question.content, question.n_content,
                       n_ctx < SOURCES_MAX_BYTES ? n_ctx : SOURCES_MAX_BYTES, &asked, err);
    if (ok) {
        c->talk.message[c->talk.n - 1].content = asked.data;
        c->talk.message[c->talk.n - 1].n_content = asked.n_bytes;
        ok = c->remote ? ask_remote(c, r, err) : fit_prompt(c, &r->turn, err);
        c->talk.message[c->talk.n - 1] = question;
    }
    buf_release(&asked);
    return ok;
}

/* How many tokens at the prompt's beginning are the system message's (or BOS): a shift keeps them.
 */
static int32_t count_kept(struct chat_session *c)
{
    struct ids head = {0};
    struct err err = {0}; /* a template that refuses to render this much only keeps less */
    size_t n = 0;
    if (conversation_system(&c->talk) && encode(c, 1, false, &head, &err))
        while (n < head.n && n < c->prompt.n && head.id[n] == c->prompt.id[n]) n++;
    ids_release(&head);
    return n > 0 ? (int32_t)n : 1;
}

/* ---- the answer ---- */

static void give_text(void *user, const char *s, size_t n_bytes)
{
    struct run *r = user;
    buf_append(&r->text, s, n_bytes);
    r->c->listener.text(r->c->listener.user, s, n_bytes);
}

static bool take_text(struct run *r, const struct engine_event *ev)
{
    if (!r->citer) {
        if (ev->n_text) give_text(r, ev->text, ev->n_text);
        return true;
    }
    if (!citer_feed(r->citer, ev->text, ev->n_text, &r->err)) return false;
    return ev->finish == FINISH_NONE || citer_end(r->citer, &r->err);
}

static bool on_event(void *user, const struct engine_event *ev)
{
    struct run *r = user;
    const struct chat_listener *l = &r->c->listener;
    r->turn.n_cached = ev->n_cached;
    r->turn.n_drafted = ev->n_drafted;
    r->turn.n_accepted = ev->n_accepted;
    if (ev->token >= 0) {
        r->end_ns = clock_ns();
        if (!r->first_ns) r->first_ns = r->end_ns;
        r->turn.n_generated++;
    } else if (!r->first_ns && ev->finish == FINISH_NONE) {
        l->progress(l->user, ev->n_prompt_done, ev->n_prompt);
    }
    if (!take_text(r, ev)) {
        r->turn.finish = FINISH_ERROR;
        r->is_over = true;
        return false;
    }
    if (ev->finish != FINISH_NONE) {
        r->turn.finish = ev->finish;
        r->is_over = true;
        if (ev->finish == FINISH_ERROR && ev->err) r->err = *ev->err;
    }
    return true;
}

static bool run_engine(struct run *r, const struct request_params *p, struct err *err)
{
    struct engine *e = r->c->s.engine;
    const struct chat_listener *l = &r->c->listener;
    const int64_t request = engine_submit(e, p, err);
    bool has_work = true;
    if (!request) return false;
    while (has_work && !r->is_over) {
        if (l->wants_stop(l->user)) engine_cancel(e, request);
        if (!engine_step(e, &has_work, err)) return false;
    }
    if (r->turn.finish != FINISH_ERROR) return true;
    *err = r->err;
    return false;
}

static bool fill_request(struct chat_session *c, struct run *r, bool is_again,
                         struct request_params *p, struct err *err)
{
    *p = request_defaults();
    if (!chat_settings_sampling(&c->settings, model_tokenizer(c->s.model), c->bias, &p->sampling,
                                err))
        return false;
    p->prompt = c->prompt.id;
    p->n_prompt = (int32_t)c->prompt.n;
    p->grammar = c->grammar;
    p->n_predict = chat_settings_most_tokens(&c->settings);
    p->sampling.seed += c->n_answers++;
    if (is_again && c->is_temp_ours) p->sampling.temperature = sampler_defaults().temperature;
    p->shifts_context = chat_settings_shifts(&c->settings);
    if (p->shifts_context) p->n_keep = count_kept(c);
    p->listener = on_event;
    p->user = r;
    return true;
}

static void add_turn(struct chat_session *c, struct run *r)
{
    struct turn *t = &r->turn;
    const int64_t end = clock_ns();
    t->read_s = (double)((r->first_ns ? r->first_ns : end) - r->begin_ns) * 1e-9;
    t->write_s = r->first_ns ? (double)(r->end_ns - r->first_ns) * 1e-9 : 0;
    c->last = *t;
    c->sum.n_prompt += t->n_prompt;
    c->sum.n_cached += t->n_cached;
    c->sum.n_generated += t->n_generated;
    c->sum.n_drafted += t->n_drafted;
    c->sum.n_accepted += t->n_accepted;
    c->sum.read_s += t->read_s;
    c->sum.write_s += t->write_s;
    c->n_turns++;
}

/* c->prompt on this machine's engine. */
static bool answer_here(struct chat_session *c, struct run *r, bool is_again, struct err *err)
{
    struct request_params p;
    if (c->listener.prompt)
        c->listener.prompt(c->listener.user, model_tokenizer(c->s.model), &c->prompt);
    if (!fill_request(c, r, is_again, &p, err)) return false;
    r->begin_ns = clock_ns();
    const bool ok = run_engine(r, &p, err);
    add_turn(c, r);
    return ok;
}

static bool take_remote(void *user, const char *s, size_t n_bytes, struct err *err)
{
    struct run *r = user;
    r->end_ns = clock_ns();
    if (!r->first_ns) r->first_ns = r->end_ns;
    if (r->citer) return citer_feed(r->citer, s, n_bytes, err);
    give_text(r, s, n_bytes);
    return true;
}

static bool wants_remote_stop(void *user)
{
    const struct run *r = user;
    return r->c->listener.wants_stop(r->c->listener.user);
}

/* The conversation as it stands, to the server. */
static bool ask_remote(struct chat_session *c, struct run *r, struct err *err)
{
    struct remote_reply reply = {.text = take_remote, .wants_stop = wants_remote_stop, .user = r};
    r->begin_ns = clock_ns();
    bool ok = remote_ask(c->remote, c->talk.message, c->talk.n, c->settings.parsed, &reply, err);
    if (ok && r->citer) ok = citer_end(r->citer, err);
    r->turn.n_prompt = reply.n_prompt > 0 ? reply.n_prompt : 0;
    r->turn.n_cached = reply.n_cached > 0 ? reply.n_cached : 0;
    r->turn.n_generated = reply.n_generated;
    r->turn.finish = reply.end == REMOTE_LENGTH    ? FINISH_LENGTH
                     : reply.end == REMOTE_STOPPED ? FINISH_CANCEL
                                                   : FINISH_STOP;
    add_turn(c, r);
    return ok;
}

/* Answers the last message, a user's. */
static bool answer(struct chat_session *c, bool is_again, struct err *err)
{
    struct run r = {.c = c};
    buf_init(&r.text, MAX_ANSWER_BYTES);
    if (c->sources && !(r.citer = citer_new(c->sources, give_text, &r)))
        return err_set(err, ERR_MEMORY, "no memory for the references");
    bool ok = c->sources  ? with_sources(c, &r, err)
              : c->remote ? ask_remote(c, &r, err)
                          : fit_prompt(c, &r.turn, err);
    if (ok && !c->remote) ok = answer_here(c, &r, is_again, err);
    ok = ok && buf_check(&r.text, "the answer", err);
    if (ok && r.citer) {
        size_t n = 0;
        const struct citation *cited = citer_citations(r.citer, &n);
        if (n) c->listener.cited(c->listener.user, c->sources, cited, n);
    }
    citer_free(r.citer);
    const char *text = r.text.data ? r.text.data : "";
    ok = ok && conversation_add(&c->talk, "assistant", text, r.text.n_bytes, err);
    buf_release(&r.text);
    return ok;
}

bool chat_session_ask(struct chat_session *c, const char *text, size_t n_bytes, struct err *err)
{
    if (!conversation_add(&c->talk, "user", text, n_bytes, err)) return false;
    if (answer(c, false, err)) return true;
    conversation_pop(&c->talk);
    return false;
}

bool chat_session_again(struct chat_session *c, struct err *err)
{
    if (strcmp(conversation_last_role(&c->talk), "assistant") == 0) conversation_pop(&c->talk);
    if (strcmp(conversation_last_role(&c->talk), "user") != 0)
        return err_set(err, ERR_USAGE, "there is no answer to throw away yet; ask something first");
    return answer(c, true, err);
}
