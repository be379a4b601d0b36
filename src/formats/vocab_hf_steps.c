/* SPDX-License-Identifier: Apache-2.0
 *
 * vocab_hf_steps.c - what a tokenizer.json does to a text before and after its model.
 *
 * The file describes a small program: a normalizer, a pre-tokenizer, a post-processor, each one
 * step or a sequence of steps. The Llama world writes only a few such programs, and those we run:
 *
 *   byte-level      no normalizer; Split by a known regular expression, or Digits, then ByteLevel
 *   SentencePiece   Prepend and Replace of the space by U+2581, or Metaspace
 *   around both     ByteLevel (offsets only), TemplateProcessing with one token before and after
 *
 * Anything else would give other ids than the model was trained on, so it is refused by name
 * instead of ignored. One difference stays: Metaspace puts no mark before a text that begins with
 * a space, and with the scheme "first" none after a special token. SentencePiece, with which the
 * models were trained, and llama.cpp do in both places, and so do we.
 *
 * Begin reading at hf_steps_read().
 */
#include <string.h>

#include "formats/vocab_parts.h"

#define SPACE_MARK "\xE2\x96\x81" /* U+2581 */

struct program {
    const char *name;
    struct err *err;
    /* what the steps so far have said */
    bool splits_digits, is_byte_level, level_splits, marks_spaces, adds_prefix;
    enum pretok split; /* PRETOK_UNKNOWN: no Split yet */
};

static const char *str_of(struct json obj, const char *key)
{
    const char *s = NULL;
    size_t n = 0;
    return json_str(json_get(obj, key), &s, &n) && strlen(s) == n ? s : "";
}

static bool flag_of(struct json obj, const char *key, bool otherwise)
{
    bool v = otherwise;
    (void)json_bool(json_get(obj, key), &v);
    return v;
}

static bool is(const char *a, const char *b) { return strcmp(a, b) == 0; }

static bool refuse(const struct program *p, const char *place, const char *what)
{
    return err_set(p->err, ERR_UNSUPPORTED,
                   "%s: %s: %.60s is not supported; use a model of the Llama family, or its GGUF "
                   "form",
                   p->name, place, *what ? what : "a step without a type");
}

static bool is_none(struct json v) { return json_type(v) <= JSON_NULL; }

/* ---- one step ---- */

typedef bool step_fn(struct program *p, struct json step);

static bool normalizer_step(struct program *p, struct json step)
{
    const char *type = str_of(step, "type");
    const bool is_mark = is(type, "Replace") && is(str_of(step, "content"), SPACE_MARK) &&
                         is(str_of(json_get(step, "pattern"), "String"), " ");
    const bool is_prefix = is(type, "Prepend") && is(str_of(step, "prepend"), SPACE_MARK);
    p->marks_spaces = p->marks_spaces || is_mark;
    p->adds_prefix = p->adds_prefix || is_prefix;
    return is_mark || is_prefix || refuse(p, "normalizer", type);
}

/* A regular expression that keeps every match and loses nothing between them. */
static bool split_step(struct program *p, struct json step)
{
    const char *regex = str_of(json_get(step, "pattern"), "Regex");
    const char *behavior = str_of(step, "behavior");
    const bool is_inverted = flag_of(step, "invert", false);
    const bool is_plain = is_inverted ? is(behavior, "Removed") : is(behavior, "Isolated");
    if (is_plain && is(regex, "\\p{N}") && p->split == PRETOK_UNKNOWN) {
        p->splits_digits = true;
        return true;
    }
    for (const struct pretok_name *r = pretok_names; is_plain && r->gguf; r++) {
        if (!r->regex || !is(r->regex, regex) || p->split != PRETOK_UNKNOWN) continue;
        p->split = r->pretok;
        return true;
    }
    return refuse(p, "pre_tokenizer: Split", *regex ? regex : "a pattern that is not a Regex");
}

static bool metaspace_step(struct program *p, struct json step)
{
    const char *scheme = str_of(step, "prepend_scheme");
    const char *mark = str_of(step, "replacement");
    if (!is(mark, SPACE_MARK) || flag_of(step, "split", true))
        return refuse(p, "pre_tokenizer: Metaspace", "another replacement than U+2581, or split,");
    p->marks_spaces = true;
    p->adds_prefix = p->adds_prefix ||
                     (*scheme ? !is(scheme, "never") : flag_of(step, "add_prefix_space", true));
    return true;
}

static bool pre_tokenizer_step(struct program *p, struct json step)
{
    const char *type = str_of(step, "type");
    if (p->is_byte_level) return refuse(p, "pre_tokenizer: after ByteLevel", type);
    if (is(type, "Split")) return split_step(p, step);
    if (is(type, "Metaspace")) return metaspace_step(p, step);
    if (is(type, "Digits") && p->split == PRETOK_UNKNOWN) {
        p->splits_digits = flag_of(step, "individual_digits", false);
        return p->splits_digits || refuse(p, "pre_tokenizer: Digits", "a run of digits");
    }
    if (!is(type, "ByteLevel")) return refuse(p, "pre_tokenizer", type);
    if (flag_of(step, "add_prefix_space", true))
        return refuse(p, "pre_tokenizer: ByteLevel", "add_prefix_space");
    p->is_byte_level = true;
    p->level_splits = flag_of(step, "use_regex", true);
    return true;
}

/* Runs a step, or each step of a sequence, through `fn`. */
static bool each_step(struct program *p, struct json step, const char *list, step_fn *fn)
{
    if (is_none(step)) return true;
    if (!is(str_of(step, "type"), "Sequence")) return fn(p, step);
    struct json inner;
    for (struct json_iter it = json_iter(json_get(step, list)); json_next(&it, NULL, NULL, &inner);)
        if (!fn(p, inner)) return false;
    return true;
}

/* ---- the whole ---- */

static bool find_pretok(const struct program *p, enum pretok *out)
{
    const bool is_gpt2 = p->level_splits ? p->split == PRETOK_UNKNOWN : p->split == PRETOK_GPT2;
    const bool is_llama3 = !p->level_splits && p->split == PRETOK_LLAMA3 && !p->splits_digits;
    if (!is_gpt2 && !is_llama3)
        return refuse(p, "pre_tokenizer", "this order of steps, or none before ByteLevel,");
    *out = is_llama3 ? PRETOK_LLAMA3 : p->splits_digits ? PRETOK_SMOLLM : PRETOK_GPT2;
    return true;
}

static bool find_model(const struct program *p, struct hf_steps *out)
{
    if (p->is_byte_level) {
        out->model = VOCAB_BPE;
        if (p->marks_spaces || p->adds_prefix)
            return refuse(p, "pre_tokenizer", "ByteLevel after a normalizer that marks spaces");
        return find_pretok(p, &out->pretok);
    }
    if (p->splits_digits || p->split != PRETOK_UNKNOWN || !p->marks_spaces)
        return refuse(p, "pre_tokenizer", "neither ByteLevel nor spaces written as U+2581");
    out->model = VOCAB_SPM;
    out->adds_space_prefix = p->adds_prefix;
    return true;
}

/* The one id of a special token of a template. */
static bool special_id(const struct program *p, struct json post, struct json special, int32_t *out)
{
    const char *text = str_of(special, "id");
    const struct json ids = json_get(json_get(json_get(post, "special_tokens"), text), "ids");
    int64_t id = 0;
    if (*out >= 0 || json_len(ids) != 1)
        return refuse(p, "post_processor: TemplateProcessing", "more than one token on a side");
    if (!json_i64(json_at(ids, 0), &id) || id < 0 || id >= VOCAB_MAX_TOKENS)
        return err_set(p->err, ERR_FORMAT,
                       "%s: post_processor: the id of %.40s is no token; fetch the file again",
                       p->name, text);
    *out = (int32_t)id;
    return true;
}

static bool read_template(const struct program *p, struct json post, struct hf_steps *out)
{
    struct json part;
    int32_t n_texts = 0;
    for (struct json_iter it = json_iter(json_get(post, "single"));
         json_next(&it, NULL, NULL, &part);) {
        const struct json special = json_get(part, "SpecialToken");
        if (json_type(special) != JSON_OBJECT)
            n_texts++;
        else if (!special_id(p, post, special, n_texts ? &out->after : &out->before))
            return false;
    }
    return n_texts == 1 || refuse(p, "post_processor: TemplateProcessing", "a text not once");
}

static bool read_post_processor(const struct program *p, struct json post, struct hf_steps *out)
{
    const bool is_sequence = is(str_of(post, "type"), "Sequence");
    const struct json list = json_get(post, "processors");
    bool has_template = false;
    for (size_t i = 0; i < (is_sequence ? json_len(list) : 1); i++) {
        const struct json step = is_sequence ? json_at(list, i) : post;
        const char *type = str_of(step, "type");
        if (is(type, "ByteLevel")) continue;
        if (!is(type, "TemplateProcessing") || has_template)
            return refuse(p, "post_processor", type);
        has_template = true;
        if (!read_template(p, step, out)) return false;
    }
    return true;
}

bool hf_steps_read(struct json root, const char *name, struct hf_steps *out, struct err *err)
{
    struct program p = {.name = name, .err = err};
    const struct json post = json_get(root, "post_processor");
    *out = (struct hf_steps){.before = -1, .after = -1};
    return each_step(&p, json_get(root, "normalizer"), "normalizers", normalizer_step) &&
           each_step(&p, json_get(root, "pre_tokenizer"), "pretokenizers", pre_tokenizer_step) &&
           find_model(&p, out) && (is_none(post) || read_post_processor(&p, post, out));
}
