/* SPDX-License-Identifier: Apache-2.0
 *
 * refusal.c - the kinds of refusal and how each is worded on the wire.
 *
 * Types and codes are those the openai clients know, because they choose exception classes and
 * retries by them. Begin reading at the table.
 */
#include "serve/refusal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/checked.h"
#include "base/json_write.h"

static const struct row {
    int status;
    const char *type, *code;
    bool closes;
    const char *anthropic; /* their type */
} rows[] = {
    /* clang-format off */
    /*                        status type                     code                       closes  anthropic */
    [REFUSAL_NONE]        = {200, NULL,                      NULL,                       false, NULL},
    [REFUSAL_HTTP]        = {400, "invalid_request_error",   "bad_request",              true, "invalid_request_error"},
    [REFUSAL_JSON]        = {400, "invalid_request_error",   "invalid_json",             false, "invalid_request_error"},
    [REFUSAL_VALUE]       = {400, "invalid_request_error",   "invalid_value",            false, "invalid_request_error"},
    [REFUSAL_MISSING]     = {400, "invalid_request_error",   "missing_required_parameter", false, "invalid_request_error"},
    [REFUSAL_UNSUPPORTED] = {400, "invalid_request_error",   "unsupported_parameter",    false, "invalid_request_error"},
    [REFUSAL_CONTEXT]     = {400, "invalid_request_error",   "context_length_exceeded",  false, "invalid_request_error"},
    [REFUSAL_KEY]         = {401, "authentication_error",    "invalid_api_key",          false, "authentication_error"},
    [REFUSAL_ORIGIN]      = {403, "permission_error",        "forbidden",                false, "permission_error"},
    [REFUSAL_OFF]         = {403, "permission_error",        "not_enabled",              false, "permission_error"},
    [REFUSAL_NO_ROUTE]    = {404, "invalid_request_error",   "not_found",                false, "not_found_error"},
    [REFUSAL_NO_MODEL]    = {404, "invalid_request_error",   "model_not_found",          false, "not_found_error"},
    [REFUSAL_METHOD]      = {405, "invalid_request_error",   "method_not_allowed",       false, "invalid_request_error"},
    [REFUSAL_TOO_LARGE]   = {413, "invalid_request_error",   "request_too_large",        true, "request_too_large"},
    [REFUSAL_QUOTA]       = {429, "rate_limit_error",        "rate_limit_exceeded",      false, "rate_limit_error"},
    [REFUSAL_BUSY]        = {429, "rate_limit_error",        "queue_full",               false, "rate_limit_error"},
    [REFUSAL_DRAINING]    = {503, "server_error",            "shutting_down",            true, "overloaded_error"},
    [REFUSAL_SERVER]      = {500, "server_error",            "server_error",             false, "api_error"},
    [REFUSAL_PREVIOUS]    = {400, "invalid_request_error",   "previous_response_not_found", false, "invalid_request_error"},
    [REFUSAL_STORE_FULL]  = {507, "server_error",            "store_full",               false, "api_error"},
    [REFUSAL_CHANGED]     = {412, "invalid_request_error",   "version_conflict",         false, "invalid_request_error"},
    /* clang-format on */
};
static_assert(ARRAY_LEN(rows) == N_REFUSALS, "a row a kind");

bool refuse(struct refusal *r, enum refusal_kind kind, const char *field, const char *fmt, ...)
{
    va_list args;
    *r = (struct refusal){.kind = kind};
    if (field) snprintf(r->field, sizeof r->field, "%s", field);
    va_start(args, fmt);
    vsnprintf(r->text, sizeof r->text, fmt, args);
    va_end(args);
    return false;
}

bool refuse_err(struct refusal *r, const char *field, const struct err *err)
{
    enum refusal_kind kind = REFUSAL_SERVER;
    if (err->code == ERR_USAGE || err->code == ERR_LIMIT) kind = REFUSAL_VALUE;
    if (err->code == ERR_UNSUPPORTED) kind = REFUSAL_UNSUPPORTED;
    if (err->code == ERR_FORMAT) kind = REFUSAL_JSON;
    if (err->code == ERR_BUSY) kind = REFUSAL_BUSY;
    return refuse(r, kind, field, "%s", err->text);
}

int refusal_status(enum refusal_kind kind) { return rows[kind].status; }
bool refusal_closes(enum refusal_kind kind) { return rows[kind].closes; }

const char *refusal_code(enum refusal_kind kind) { return rows[kind].code; }

void refusal_write(const struct refusal *r, enum refusal_style style, struct buf *out)
{
    const bool is_openai = style == REFUSAL_OPENAI;
    struct json_writer w = json_writer(out);
    json_object(&w);
    if (!is_openai) json_key_cstring(&w, "type", "error");
    json_key(&w, "error");
    json_object(&w);
    json_key_cstring(&w, "message", r->text);
    json_key_cstring(&w, "type", is_openai ? rows[r->kind].type : rows[r->kind].anthropic);
    if (is_openai) {
        json_key_cstring(&w, "param", r->field[0] ? r->field : NULL);
        json_key_cstring(&w, "code", rows[r->kind].code);
    }
    json_end(&w);
    json_end(&w);
}
