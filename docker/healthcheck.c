// The image's health check: asks the service of its own container for a statement, where that
// listens (UNIX_SOCKET, or else PORT), and ends well if the answer is a 200. A tiny program, because
// starting Node.js for it would use up the share of the CPU that a small container has.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int fail(const char *what) {
  perror(what);
  return 1;
}

static int open_connection(const char *path, const char *port) {
  const int family = path != NULL ? AF_UNIX : AF_INET;
  const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const struct timeval patience = {.tv_sec = 2, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (family == AF_UNIX) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof name.sun_path) return -1;
    strcpy(name.sun_path, path);
    return connect(fd, (struct sockaddr *)&name, sizeof name) == 0 ? fd : -1;
  }
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return connect(fd, (struct sockaddr *)&name, sizeof name) == 0 ? fd : -1;
}

int main(void) {
  const char *path = getenv("UNIX_SOCKET");
  const char *port = getenv("PORT");
  const int fd = open_connection(path, port != NULL ? port : "9999");
  if (fd < 0) return fail("connect");
  static const char request[] =
      "GET /clientes/1/extrato HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n";
  static const char expected[] = "HTTP/1.1 200";
  if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0) return fail("send");
  char answer[sizeof expected - 1];
  if (recv(fd, answer, sizeof answer, MSG_WAITALL) != (ssize_t)sizeof answer) return fail("recv");
  return memcmp(answer, expected, sizeof answer) == 0 ? 0 : 1;
}
