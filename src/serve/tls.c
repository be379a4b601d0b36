/* SPDX-License-Identifier: Apache-2.0
 *
 * tls.c - TLS by OpenSSL under libevent's bufferevents: 1.2 at least, certificates read again on
 * SIGHUP. A new context serves connections from then on; those that are open keep the one that
 * they began with (OpenSSL counts references).
 */
#include "serve/server.h"

#include <stdlib.h>
#include <string.h>

#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/log.h"

struct tls {
    SSL_CTX *ctx;
    char *cert, *key;
};

static const char *ssl_reason(void)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    return why ? why : "unknown";
}

static SSL_CTX *make_ctx(const char *cert, const char *key, struct err *err)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx) {
        err_set(err, ERR_MEMORY, "no memory for TLS");
        return NULL;
    }
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        err_set(err, ERR_FORMAT, "%s: no certificate chain in PEM (%s); name another file", cert,
                ssl_reason());
    else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        err_set(err, ERR_FORMAT,
                "%s: no private key in PEM, or not the certificate's (%s); name another file", key,
                ssl_reason());
    else
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

struct tls *tls_new(const char *cert, const char *key, struct err *err)
{
    struct tls *t = calloc(1, sizeof *t);
    if (t) {
        t->cert = strdup(cert);
        t->key = strdup(key);
    }
    if (!t || !t->cert || !t->key)
        err_set(err, ERR_MEMORY, "no memory for TLS");
    else
        t->ctx = make_ctx(cert, key, err);
    if (t && t->ctx) return t;
    tls_free(t);
    return NULL;
}

void tls_reload(struct tls *t)
{
    struct err err = {0};
    SSL_CTX *ctx = make_ctx(t->cert, t->key, &err);
    if (!ctx) {
        log_warn("%s; the certificate of before stays", err.text);
        return;
    }
    SSL_CTX_free(t->ctx);
    t->ctx = ctx;
    log_info("%s: read again", t->cert);
}

void tls_free(struct tls *t)
{
    if (!t) return;
    SSL_CTX_free(t->ctx);
    free(t->cert);
    free(t->key);
    free(t);
}

struct bufferevent *tls_bufferevent(struct tls *t, struct event_base *base)
{
    SSL *ssl = SSL_new(t->ctx);
    if (!ssl) return NULL;
    struct bufferevent *bev = bufferevent_openssl_socket_new(
        base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    if (!bev) {
        SSL_free(ssl);
        return NULL;
    }
    /* many clients just hang up; that is no error */
    bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return bev;
}
