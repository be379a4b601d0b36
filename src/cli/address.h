/* address.h - which network addresses belong to everybody. Any thread. */
#ifndef CRIA_CLI_ADDRESS_H
#define CRIA_CLI_ADDRESS_H

#include <stdbool.h>

struct sockaddr;

/* False for this machine, private networks, link-local, multicast, reserved and documentation
 * ranges, what clouds tell their machines' secrets at, and every family but IPv4 and IPv6. */
bool address_is_public(const struct sockaddr *a);

/* The address as text, for messages. */
struct address_text {
    char text[64];
};
struct address_text address_text(const struct sockaddr *a);

#endif
