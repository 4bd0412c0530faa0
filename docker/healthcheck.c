// The image's health check: asks the service of its own container for a statement, where that
// listens, and ends well if it is answered: with a 200, or with a 404, since which accounts there
// are is the store's business. Reads the variables as the service does: UNIX_SOCKET, or else
// ESPORA_HOST and PORT, an empty one counting as absent. A service that is given its address
// otherwise needs a check of its own. A tiny program, because starting Node.js for it would use up
// the share of the CPU that a small container has.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int fail(const char* what) {
  perror(what);
  return 1;
}

// A variable's value; `otherwise` where it is absent or empty.
static const char* setting(const char* name, const char* otherwise) {
  const char* value = getenv(name);
  return value != NULL && *value != '\0' ? value : otherwise;
}

static int open_connection(const char* path, const char* host, const char* port) {
  const int family = path != NULL ? AF_UNIX : strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
  const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const struct timeval patience = {.tv_sec = 2, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (family == AF_UNIX) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof name.sun_path) return -1;
    strcpy(name.sun_path, path);
    return connect(fd, (struct sockaddr*)&name, sizeof name) == 0 ? fd : -1;
  }
  const in_port_t number = htons((unsigned short)atoi(port));
  if (family == AF_INET6) {
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = number};
    if (inet_pton(AF_INET6, host, &name.sin6_addr) != 1) return -1;
    // The address of all interfaces is answered on this machine's own.
    if (IN6_IS_ADDR_UNSPECIFIED(&name.sin6_addr)) name.sin6_addr = in6addr_loopback;
    return connect(fd, (struct sockaddr*)&name, sizeof name) == 0 ? fd : -1;
  }
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = number};
  // A name is taken for 127.0.0.1: a service that listens on a name of another address needs a check
  // of its own.
  if (inet_pton(AF_INET, host, &name.sin_addr) != 1 || name.sin_addr.s_addr == INADDR_ANY) {
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  }
  return connect(fd, (struct sockaddr*)&name, sizeof name) == 0 ? fd : -1;
}

int main(void) {
  const int fd = open_connection(setting("UNIX_SOCKET", NULL), setting("ESPORA_HOST", "0.0.0.0"),
                                 setting("PORT", "9999"));
  if (fd < 0) return fail("connect");
  static const char request[] =
      "GET /clientes/1/extrato HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n";
  static const char answered[] = "HTTP/1.1 200";
  static const char no_account[] = "HTTP/1.1 404";
  if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0) return fail("send");
  char answer[sizeof answered - 1];
  if (recv(fd, answer, sizeof answer, MSG_WAITALL) != (ssize_t)sizeof answer) return fail("recv");
  return memcmp(answer, answered, sizeof answer) == 0 ||
                 memcmp(answer, no_account, sizeof answer) == 0
             ? 0
             : 1;
}
