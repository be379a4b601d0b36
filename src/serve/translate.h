/* translate.h - other APIs' bodies as bodies of /v1/chat/completions.
 *
 * There is one reader of requests (gen_params.h), and other APIs are ways to write what it reads:
 * a body is rewritten, then read like any chat. A field that differs in name alone is copied; one
 * that differs in shape has a function. What the reader then refuses is said with the names that
 * the client used: for each message it is remembered which part of the body it came from. Any
 * thread.
 */
#ifndef CRIA_SERVE_TRANSLATE_H
#define CRIA_SERVE_TRANSLATE_H

#include "base/json_write.h"
#include "serve/fields.h"

/* What a body asks for that is no matter of the chat's. Strings and values lie in the body. */
struct shape_ask {
    struct json input, system, tools, tool_choice, format, metadata, include;
    const char *previous, *truncation;
    bool stores, has_parallel, is_parallel;
    struct unknown_fields unknown;
};

/* Where a message came from. */
enum { ORIGIN_SYSTEM = -1, ORIGIN_CHAIN = -2 };

struct translation {
    struct buf chat;    /* the body of /v1/chat/completions */
    struct buf origins; /* int32_t a message: its element of the input, or an ORIGIN */
};

struct shape {
    const struct field *fields; /* of its body; FIELD_COPIED: as in a chat */
    const struct rename {       /* fields with another name in a chat; ended by NULL */
        const char *theirs, *chats;
    } * renames;
    const char *input, *system; /* the names of these fields */
    /* Writes the keys of the chat's body that are not copied. `chain`: items of earlier turns, or
     * JSON_NONE; the first `n_left_out` items of chain and input are left out. */
    bool (*write)(const struct shape_ask *a, struct json chain, size_t n_left_out,
                  struct json_writer *w, struct buf *origins, struct refusal *r);
};

extern const struct shape shape_responses, shape_messages;

/* Reads what `s` has besides a chat, with its defaults. */
bool shape_read(const struct shape *s, struct json body, struct shape_ask *a,
                struct refusal *r) CRIA_CHECK;
/* Fills `t`, which the caller releases, also after a refusal. */
bool shape_translate(const struct shape *s, struct json body, const struct shape_ask *a,
                     struct json chain, size_t n_left_out, struct translation *t,
                     struct refusal *r) CRIA_CHECK;
void translation_init(struct translation *t);
void translation_release(struct translation *t);
/* Puts the client's names in place of the chat's; `t` NULL: it is not about a message. */
void shape_rename(const struct shape *s, const struct translation *t, struct refusal *r);

/* ---- for the shapes ---- */
void origin_add(struct buf *origins, int32_t from);
/* {"type":"text","text":...} */
void write_text_part(struct json_writer *w, const char *s, size_t n);
/* The key "tools" of a chat: all must be of one type. */
struct tool_kind {
    const char *type, *fallback; /* of a tool that does not say */
    const char *schema;          /* the field with its parameters */
    const char *only;            /* what this server has, for messages */
};
bool write_tools(struct json_writer *w, struct json tools, const struct tool_kind *kind,
                 struct refusal *r) CRIA_CHECK;
/* The key "response_format" of a chat, from `format` of the object in the field `name`. `schema`
 * writes the keys of one with a schema. */
bool write_format(struct json_writer *w, const char *name, struct json config,
                  void (*schema)(struct json_writer *w, struct json format),
                  struct refusal *r) CRIA_CHECK;
/* The choice of one function by name. */
void write_choice(struct json_writer *w, struct json name);

#endif
