/* SPDX-License-Identifier: Apache-2.0
 *
 * address.c - public addresses, told from all others by IANA's registries of special purposes.
 *
 * IPv4 is public unless a row says otherwise. IPv6 is the other way round: only 2000::/3 is given
 * out, so all else is refused, and of it the rows that have another purpose. An IPv6 address that
 * carries an IPv4 one (mapped, NAT64) is what the IPv4 address is; the old ways of carrying one
 * (6to4, Teredo, "compatible") are refused, since nobody serves pages there.
 */
#include "cli/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct range {
    uint8_t begin[16];
    int n_bits;
};

static const struct range not_public_4[] = {
    {{0}, 8},            /* "this network" */
    {{10}, 8},           /* private */
    {{100, 64}, 10},     /* carriers' own; Alibaba's metadata */
    {{127}, 8},          /* loopback */
    {{169, 254}, 16},    /* link-local; metadata of most clouds */
    {{172, 16}, 12},     /* private */
    {{192, 0, 0}, 24},   /* protocols; Oracle's metadata */
    {{192, 0, 2}, 24},   /* documentation */
    {{192, 88, 99}, 24}, /* 6to4 relays */
    {{192, 168}, 16},    /* private */
    {{198, 18}, 15},     /* measurements */
    {{198, 51, 100}, 24},
    {{203, 0, 113}, 24},
    {{168, 63, 129, 16}, 32}, /* Azure's own services, at a public address */
    {{224}, 3},               /* multicast, reserved, broadcast */
};

static const struct range given_out_6 = {{0x20}, 3};
static const struct range not_public_6[] = {
    {{0x20, 0x01, 0x00}, 23},       /* protocols: Teredo, ORCHID */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x20, 0x02}, 16},             /* 6to4 */
    {{0x3f, 0xff, 0x00}, 20},       /* documentation */
};

static const struct range carries_4[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96}, /* mapped */
    {{0, 0x64, 0xff, 0x9b}, 96},                      /* NAT64 */
};

static bool is_in(const uint8_t *a, const struct range *r)
{
    const int n = r->n_bits / 8, rest = r->n_bits % 8;
    if (memcmp(a, r->begin, (size_t)n) != 0) return false;
    return rest == 0 || (a[n] ^ r->begin[n]) >> (8 - rest) == 0;
}

static bool is_in_any(const uint8_t *a, const struct range *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (is_in(a, &r[i])) return true;
    return false;
}

#define IN_ANY(a, table) is_in_any((a), (table), sizeof(table) / sizeof((table)[0]))

static bool is_public_6(const uint8_t a[16])
{
    if (IN_ANY(a, carries_4)) return !IN_ANY(a + 12, not_public_4);
    return is_in(a, &given_out_6) && !IN_ANY(a, not_public_6);
}

bool address_is_public(const struct sockaddr *a)
{
    uint8_t bytes[16];
    if (a->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, a, sizeof in);
        memcpy(bytes, &in.sin_addr, 4);
        return !IN_ANY(bytes, not_public_4);
    }
    if (a->sa_family != AF_INET6) return false;
    struct sockaddr_in6 in6;
    memcpy(&in6, a, sizeof in6);
    memcpy(bytes, &in6.sin6_addr, 16);
    return is_public_6(bytes);
}

struct address_text address_text(const struct sockaddr *a)
{
    struct address_text out = {"of an unknown kind"};
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    if (a->sa_family == AF_INET) {
        memcpy(&in, a, sizeof in);
        inet_ntop(AF_INET, &in.sin_addr, out.text, sizeof out.text);
    } else if (a->sa_family == AF_INET6) {
        memcpy(&in6, a, sizeof in6);
        inet_ntop(AF_INET6, &in6.sin6_addr, out.text, sizeof out.text);
    }
    return out;
}
