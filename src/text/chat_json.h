/* chat_json.h - JSON values as text, the way Python's json.dumps(ensure_ascii=False) writes them:
 * the form in which templates print tools. Any thread.
 */
#ifndef CRIA_TEXT_CHAT_JSON_H
#define CRIA_TEXT_CHAT_JSON_H

#include "base/buf.h"
#include "base/json.h"

/* Appends `v`; indent 0: on one line. */
void chat_json(struct buf *out, struct json v, int indent);
void chat_json_string(struct buf *out, const char *s, size_t n);
/* A call's arguments as an object: a string that holds JSON is what it holds. */
void chat_json_arguments(struct buf *out, struct json arguments);
void chat_json_float(struct buf *out, double v); /* finite */

#endif
