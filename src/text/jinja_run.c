/* SPDX-License-Identifier: Apache-2.0
 *
 * jinja_run.c - statements, macros, and what a program is given.
 *
 * Scopes are jinja2's: a loop's body, a macro, a block of {% set %}, {% call %}, {% filter %},
 * {% with %} and {% generation %} have one each, an {% if %} has none; a name is set in the
 * innermost and found in any. A loop's scope is emptied before each turn.
 *
 * A role that is one of the common words is trusted as the template's own text: templates build
 * markup from it ('<|' + message.role + '|>'), and a fixed word cannot be forged into a token that
 * the template did not ask for. Any other role is text.
 *
 * Begin reading at jinja_render().
 */
#include "text/chat_parts.h"
#include "text/jinja_parts.h"

#define MAX_JSON_BYTES ((size_t)64 << 20)

/* ---- scopes ---- */

static struct jinja_scope *scope_new(struct jinja *j, struct jinja_scope *parent)
{
    struct jinja_scope *s = jinja_alloc(j, 1, sizeof *s);
    if (s) s->parent = parent;
    return s;
}

bool jinja_set(struct jinja *j, struct jinja_scope *s, const char *name, struct jinja_value v)
{
    if (!jinja_charge(j, 1 + s->n / 64)) return false;
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->var[i].name, name) != 0) continue;
        s->var[i].value = v;
        return true;
    }
    if (s->n == s->cap) {
        const size_t cap = s->cap ? 2 * s->cap : 4;
        struct jinja_var *grown = jinja_alloc(j, cap, sizeof *grown);
        if (!grown) return false;
        if (s->n) memcpy(grown, s->var, s->n * sizeof *grown);
        s->var = grown;
        s->cap = cap;
    }
    s->var[s->n++] = (struct jinja_var){name, v};
    return true;
}

/* Sets a name, an attribute of a namespace, or several names from a sequence. */
static bool assign(struct jinja *j, const struct jinja_node *target, struct jinja_scope *s,
                   const struct jinja_value *v)
{
    struct jinja_value of;
    struct jinja_list *l = NULL;
    if (target->kind == JN_NAME) return jinja_set(j, s, target->name, *v);
    if (target->kind == JN_ATTR) {
        if (!jinja_eval(j, target->a, s, &of)) return false;
        if (of.type != JV_NAMESPACE)
            return jinja_fail(j, ERR_FORMAT, "%s is no namespace, so .%.60s cannot be set",
                              jinja_type_name(&of), target->name);
        return jinja_dict_set(j, of.u.dict, jinja_string(target->name, strlen(target->name), true),
                              *v);
    }
    if (!jinja_enter(j) || !jinja_iterate(j, v, &l)) return false;
    size_t i = 0;
    for (const struct jinja_node *t = target->a; t; t = t->next, i++)
        if (i < l->n && !assign(j, t, s, &l->item[i])) return false;
    jinja_leave(j);
    return i == l->n || jinja_fail(j, ERR_FORMAT, "%zu values for %zu names", l->n, i);
}

/* ---- blocks whose text is a value ---- */

/* Runs a body and gives what it prints. */
static bool capture(struct jinja *j, const struct jinja_node *body, struct jinja_scope *s,
                    struct jinja_value *out)
{
    struct jinja_out o = {.j = j}, *outer = j->out;
    j->out = &o;
    const bool ok = jinja_exec(j, body, s) && jinja_out_end(&o, out);
    j->out = outer;
    return ok;
}

static bool capture_filtered(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                             struct jinja_value *out)
{
    struct jinja_value text;
    struct jinja_scope *inner = scope_new(j, s);
    if (!inner || !capture(j, n->d, inner, &text)) return false;
    *out = text;
    if (!n->c) return true;
    const struct jinja_value *outer = j->captured;
    j->captured = &text;
    const bool ok = jinja_eval(j, n->c, s, out);
    j->captured = outer;
    return ok;
}

/* ---- macros ---- */

/* The arguments by the parameters' names; more of them are varargs and kwargs. */
static bool bind(struct jinja *j, const struct jinja_macro *m, const struct jinja_args *args,
                 struct jinja_scope *s)
{
    size_t i = 0;
    struct jinja_list *more = jinja_list_new(j, 0);
    struct jinja_dict *named = jinja_dict_new(j, 0);
    if (!more || !named) return false;
    for (const struct jinja_node *p = m->node->a; p; p = p->next, i++) {
        struct jinja_value v = jinja_undefined(p->name);
        bool is_given = i < args->n;
        if (is_given) v = args->arg[i];
        for (size_t k = 0; k < args->n_named; k++) {
            if (strcmp(args->named[k].name, p->name) != 0) continue;
            if (is_given)
                return jinja_fail(j, ERR_FORMAT, "the argument %.40s is given twice", p->name);
            v = args->named[k].value;
            is_given = true;
        }
        if (!is_given && p->a && !jinja_eval(j, p->a, s, &v)) return false;
        if (!jinja_set(j, s, p->name, v)) return false;
    }
    if (i < args->n && !m->node->takes_more)
        return jinja_fail(j, ERR_FORMAT, "%zu arguments; the macro takes %zu", args->n, i);
    for (; i < args->n; i++)
        if (!jinja_list_add(j, more, args->arg[i])) return false;
    for (size_t k = 0; k < args->n_named; k++) {
        const struct jinja_named *a = &args->named[k];
        bool is_param = false;
        for (const struct jinja_node *p = m->node->a; p; p = p->next)
            is_param |= strcmp(p->name, a->name) == 0;
        const bool is_caller = strcmp(a->name, "caller") == 0;
        if (is_param) continue;
        if (!is_caller && !m->node->takes_named)
            return jinja_fail(j, ERR_FORMAT, "the macro has no argument %.40s", a->name);
        if (is_caller
                ? !jinja_set(j, s, "caller", a->value)
                : !jinja_dict_set(j, named, jinja_string(a->name, strlen(a->name), true), a->value))
            return false;
    }
    return jinja_set(j, s, "varargs", jinja_of_list(more, JV_TUPLE)) &&
           jinja_set(j, s, "kwargs", (struct jinja_value){.type = JV_DICT, .u.dict = named});
}

bool jinja_call_macro(struct jinja *j, struct jinja_macro *m, const struct jinja_args *args,
                      struct jinja_value *out)
{
    struct jinja_scope *s = scope_new(j, m->scope);
    return s && bind(j, m, args, s) && capture(j, m->node->d, s, out);
}

static bool make_macro(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                       struct jinja_value *out)
{
    struct jinja_macro *m = jinja_alloc(j, 1, sizeof *m);
    if (!m) return false;
    *m = (struct jinja_macro){n, s};
    *out = (struct jinja_value){.type = JV_MACRO, .u.macro = m};
    return true;
}

/* ---- statements ---- */

static bool exec_data(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s)
{
    (void)s;
    jinja_put_text(j->out, &n->value, 0, n->value.u.str.n);
    return !j->is_failed;
}

static bool exec_print(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s)
{
    struct jinja_value v;
    return jinja_eval(j, n->a, s, &v) && jinja_put_str(j->out, &v);
}

static bool exec_if(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s)
{
    for (const struct jinja_node *b = n->a; b; b = b->next) {
        struct jinja_value when = jinja_bool(true);
        if (b->a && !jinja_eval(j, b->a, s, &when)) return false;
        if (jinja_is_true(&when)) return jinja_exec(j, b->b, s);
    }
    return true;
}

/* The elements for which the loop's condition holds. */
static bool filter_loop(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                        struct jinja_list **list)
{
    const struct jinja_list *from = *list;
    struct jinja_list *to = jinja_list_new(j, 0);
    struct jinja_scope *inner = to ? scope_new(j, s) : NULL;
    if (!inner) return false;
    for (size_t i = 0; i < from->n; i++) {
        struct jinja_value when;
        inner->n = 0;
        if (!assign(j, n->a, inner, &from->item[i]) || !jinja_eval(j, n->c, inner, &when) ||
            (jinja_is_true(&when) && !jinja_list_add(j, to, from->item[i])))
            return false;
    }
    *list = to;
    return true;
}

static bool exec_for(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s)
{
    struct jinja_value over;
    struct jinja_list *list = NULL;
    if (!jinja_eval(j, n->b, s, &over) || !jinja_iterate(j, &over, &list) ||
        (n->c && !filter_loop(j, n, s, &list)))
        return false;
    struct jinja_scope *inner = scope_new(j, s);
    struct jinja_loop *loop = inner ? jinja_alloc(j, 1, sizeof *loop) : NULL;
    if (!loop) return false;
    *loop = (struct jinja_loop){.list = list};
    for (; loop->i < list->n; loop->i++) {
        inner->n = 0;
        if (!jinja_charge(j, 1) || !assign(j, n->a, inner, &list->item[loop->i]) ||
            !jinja_set(j, inner, "loop", (struct jinja_value){.type = JV_LOOP, .u.loop = loop}) ||
            !jinja_exec(j, n->d, inner))
            return false;
        const enum jinja_flow flow = j->flow;
        j->flow = JF_GO;
        if (flow == JF_BREAK) break;
    }
    inner->n = 0;
    return list->n > 0 || jinja_exec(j, n->e, inner);
}

static bool exec_set(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s)
{
    struct jinja_value v;
    return jinja_eval(j, n->b, s, &v) && assign(j, n->a, s, &v);
}

static bool exec_set_block(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s)
{
    struct jinja_value v;
    return capture_filtered(j, n, s, &v) && assign(j, n->a, s, &v);
}

static bool exec_macro(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s)
{
    struct jinja_value m;
    return make_macro(j, n, s, &m) && jinja_set(j, s, n->name, m);
}

static bool exec_call_block(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s)
{
    struct jinja_value f, caller, v;
    struct jinja_args args;
    if (!jinja_eval(j, n->b->a, s, &f) || !jinja_args(j, n->b->b, s, &args) ||
        !make_macro(j, n, s, &caller))
        return false;
    if (f.type != JV_MACRO)
        return jinja_fail(j, ERR_FORMAT, "{%% call %%} of %s", jinja_type_name(&f));
    struct jinja_named *named = jinja_alloc(j, args.n_named + 1, sizeof *named);
    if (!named) return false;
    if (args.n_named) memcpy(named, args.named, args.n_named * sizeof *named);
    named[args.n_named++] = (struct jinja_named){"caller", caller};
    args.named = named;
    return jinja_call_macro(j, f.u.macro, &args, &v) && jinja_put_str(j->out, &v);
}

static bool exec_filtered(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s)
{
    struct jinja_value v;
    return capture_filtered(j, n, s, &v) && jinja_put_str(j->out, &v);
}

static bool exec_with(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s)
{
    struct jinja_scope *inner = scope_new(j, s);
    if (!inner) return false;
    for (const struct jinja_node *set = n->a; set; set = set->next) {
        struct jinja_value v;
        if (!jinja_eval(j, set->b, s, &v) || !assign(j, set->a, inner, &v)) return false;
    }
    return jinja_exec(j, n->d, inner);
}

static bool exec_scope(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s)
{
    struct jinja_scope *inner = scope_new(j, s);
    return inner && jinja_exec(j, n->d, inner);
}

static bool exec_jump(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s)
{
    (void)s;
    j->flow = n->kind == JN_BREAK ? JF_BREAK : JF_CONTINUE;
    return true;
}

static bool (*const execs[])(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s) = {
    [JN_DATA] = exec_data,
    [JN_PRINT] = exec_print,
    [JN_IF] = exec_if,
    [JN_FOR] = exec_for,
    [JN_SET] = exec_set,
    [JN_SET_BLOCK] = exec_set_block,
    [JN_MACRO] = exec_macro,
    [JN_CALL_BLOCK] = exec_call_block,
    [JN_FILTERED] = exec_filtered,
    [JN_WITH] = exec_with,
    [JN_SCOPE] = exec_scope,
    [JN_BREAK] = exec_jump,
    [JN_CONTINUE] = exec_jump,
};

bool jinja_exec(struct jinja *j, const struct jinja_node *list, struct jinja_scope *s)
{
    for (const struct jinja_node *n = list; n && j->flow == JF_GO; n = n->next) {
        j->line = n->line;
        if (!jinja_enter(j)) return false;
        const bool ok = execs[n->kind](j, n, s);
        jinja_leave(j);
        if (!ok) return false;
    }
    return !j->is_failed;
}

/* ---- what the program is given ---- */

static bool is_common_role(const char *role)
{
    static const char *const roles[] = {"system",  "user",      "assistant", "tool",
                                        "ipython", "developer", "function",  NULL};
    for (size_t i = 0; roles[i]; i++)
        if (strcmp(roles[i], role) == 0) return true;
    return false;
}

static struct jinja_value words(const char *s, bool is_markup)
{
    return jinja_string(s, strlen(s), is_markup);
}

static bool put(struct jinja *j, struct jinja_dict *d, const char *key, struct jinja_value v)
{
    return jinja_dict_set(j, d, words(key, true), v);
}

/* A JSON text of the caller's as a value; NULL gives none. */
static bool of_json_text(struct jinja *j, const char *text, size_t n, const char *what,
                         struct jinja_value *out)
{
    struct err err = {0};
    *out = jinja_none();
    if (!text) return true;
    struct json_doc *d = json_parse(text, n, MAX_JSON_BYTES, what, &err);
    if (!d) return jinja_fail(j, err.code, "%s", err.text);
    const bool ok = jinja_of_json(j, json_root(d), out);
    json_free(d);
    return ok;
}

/* Arguments that are a string holding an object are taken apart, as servers do: templates of one
 * kind print them with tojson and those of the other look at their keys. */
static bool open_arguments(struct jinja *j, const struct jinja_value *calls)
{
    if (!jinja_is_list(calls)) return true;
    for (size_t i = 0; i < calls->u.list->n; i++) {
        const struct jinja_value *call = &calls->u.list->item[i], *f = NULL, *a = NULL;
        struct jinja_value opened;
        struct err err = {0};
        if (call->type == JV_DICT) f = jinja_dict_find(j, call->u.dict, "function");
        if (!f && !j->is_failed) f = call;
        if (f && f->type == JV_DICT) a = jinja_dict_find(j, f->u.dict, "arguments");
        if (j->is_failed) return false;
        if (!a || a->type != JV_STRING) continue;
        struct json_doc *d = json_parse(a->u.str.s, a->u.str.n, MAX_JSON_BYTES, "arguments", &err);
        if (!d && err.code == ERR_MEMORY) return jinja_fail(j, err.code, "%s", err.text);
        if (!d) continue; /* it stays a string */
        const bool ok =
            json_type(json_root(d)) != JSON_OBJECT ||
            (jinja_of_json(j, json_root(d), &opened) && put(j, f->u.dict, "arguments", opened));
        json_free(d);
        if (!ok) return false;
    }
    return true;
}

static bool message_value(struct jinja *j, size_t i, struct jinja_value *out)
{
    const struct chat_message *m = &j->in->chat->message[i];
    struct jinja_dict *d = jinja_dict_new(j, 4);
    struct jinja_value calls;
    if (!d || !put(j, d, "role", words(m->role, is_common_role(m->role))) ||
        !put(j, d, "content", jinja_string(m->content ? m->content : "", m->n_content, false)))
        return false;
    if (m->tool_calls) {
        if (!of_json_text(j, m->tool_calls, strlen(m->tool_calls), "tool_calls", &calls))
            return false;
        if (!jinja_is_list(&calls) || calls.u.list->n == 0)
            return jinja_fail(j, ERR_USAGE, "message %zu: tool_calls: an array of calls is wanted",
                              i);
        if (!open_arguments(j, &calls) || !put(j, d, "tool_calls", calls)) return false;
    }
    *out = (struct jinja_value){.type = JV_DICT, .u.dict = d};
    return true;
}

static bool set_tokens(struct jinja *j, struct jinja_scope *s)
{
    const struct vocab *v = j->in->v;
    const struct {
        const char *name;
        int32_t id;
    } rows[] = {
        {"bos_token", v->bos}, {"eos_token", v->eos}, {"unk_token", v->unk}, {"pad_token", v->pad}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].id < 0 || rows[i].id >= v->n_tokens) continue;
        const struct vocab_token *t = &v->tokens[rows[i].id];
        if (!jinja_set(j, s, rows[i].name, jinja_string(t->bytes, t->n_bytes, true))) return false;
    }
    return true;
}

static bool set_input(struct jinja *j, struct jinja_scope *s)
{
    const struct chat_input *in = j->in->chat;
    struct jinja_value tools, extra;
    struct jinja_list *messages = jinja_list_new(j, in->n_messages);
    for (size_t i = 0; messages && i < in->n_messages; i++) {
        struct jinja_value m;
        if (!message_value(j, i, &m) || !jinja_list_add(j, messages, m)) return false;
    }
    const size_t n_tools = in->tools_json ? strlen(in->tools_json) : 0;
    if (!messages || !of_json_text(j, in->tools_json, n_tools, "tools", &tools) ||
        !jinja_set(j, s, "messages", jinja_of_list(messages, JV_LIST)) ||
        !jinja_set(j, s, "tools", tools) || !jinja_set(j, s, "documents", jinja_none()) ||
        !jinja_set(j, s, "add_generation_prompt", jinja_bool(in->opens_answer)) ||
        !set_tokens(j, s))
        return false;
    if (in->date && !jinja_set(j, s, "date_string", words(in->date, false))) return false;
    if (in->tools_in_system && !jinja_set(j, s, "tools_in_user_message", jinja_bool(false)))
        return false;
    const size_t n_extra = j->in->extra_json ? strlen(j->in->extra_json) : 0;
    if (!of_json_text(j, j->in->extra_json, n_extra, "template variables", &extra)) return false;
    for (size_t i = 0; extra.type == JV_DICT && i < extra.u.dict->n; i++) {
        const struct jinja_text *t = &extra.u.dict->key[i].u.str;
        char *name = jinja_alloc(j, t->n + 1, 1);
        if (!name) return false;
        memcpy(name, t->s, t->n);
        if (!jinja_set(j, s, name, extra.u.dict->value[i])) return false;
    }
    return true;
}

/* ---- the whole ---- */

/* Runs of one mark are a piece each. */
static bool cut_pieces(struct jinja *j, const struct jinja_value *v, struct text_piece **piece,
                       size_t *n_pieces)
{
    struct chat_pieces p = {.arena = j->arena, .err = j->err};
    const struct jinja_text *t = &v->u.str;
    for (size_t i = 0, end = 0; i < t->n; i = end) {
        const bool is_markup = t->mark ? t->mark[i] : v->is_markup;
        const uint8_t *other = t->mark ? memchr(t->mark + i, is_markup ? 0 : 1, t->n - i) : NULL;
        end = other ? (size_t)(other - t->mark) : t->n;
        chat_piece(&p, t->s + i, end - i, is_markup);
    }
    return chat_pieces_end(&p, piece, n_pieces);
}

bool jinja_render(struct jinja_template *t, const struct jinja_input *in, struct text_piece **piece,
                  size_t *n_pieces, struct err *err)
{
    struct jinja_value v = jinja_none();
    struct jinja j = {.arena = t->arena,
                      .err = err,
                      .limits = t->limits,
                      .in = in,
                      .steps_left = t->limits->max_steps,
                      .captured = &v};
    struct jinja_scope *top = scope_new(&j, NULL);
    if (!top || !set_input(&j, top) || !capture(&j, t->body, top, &v)) return false;
    return cut_pieces(&j, &v, piece, n_pieces);
}
