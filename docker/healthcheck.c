// The image's health check: asks the service of its own container whether it serves clients. What
// to ask, where, and whether a PROXY header goes first is read from one file, which the service
// writes when it is ready and removes when it stops (ts/cli/ready-file.ts); no variable or flag is
// looked at, so that there is nothing that the two could understand in different ways. A tiny
// program, because starting Node.js for it would use up the share of the CPU that a small container
// has.

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#ifndef READY_FILE
#define READY_FILE "/run/espora-health/ready"
#endif

// What the file says.
struct ready {
  char text[4096];
  const char* proxy;    // yes: a client of this machine begins with a PROXY header
  const char* ask;      // path of a GET
  const char* expect;   // status of its answer while clients are served
  const char* address;  // host:port, [v6]:port, path, or @name of an abstract unix socket
  size_t address_bytes;
};

static int fail(const char* what) {
  fprintf(stderr, "unhealthy: %s\n", what);
  return 1;
}

static int fail_with_errno(const char* what) {
  fprintf(stderr, "unhealthy: %s: %s\n", what, strerror(errno));
  return 1;
}

// The value of the line that begins with `word` and a space, ended in place; NULL if there is none.
static char* value_of(char* text, const char* word) {
  const size_t length = strlen(word);
  for (char* line = text; line != NULL; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    if (strncmp(line, word, length) == 0 && line[length] == ' ') return line + length + 1;
  }
  return NULL;
}

static int read_ready(struct ready* ready) {
  FILE* file = fopen(READY_FILE, "r");
  if (file == NULL) return 0;
  const size_t length = fread(ready->text, 1, sizeof ready->text - 1, file);
  fclose(file);
  ready->text[length] = '\0';
  char* const proxy = value_of(ready->text, "proxy");
  char* const ask = value_of(ready->text, "ask");
  char* const expect = value_of(ready->text, "expect");
  char* const address = value_of(ready->text, "address");
  if (proxy == NULL || ask == NULL || expect == NULL || address == NULL) return 0;
  // The address is last and ends with the file: a path may hold a line end.
  if (ready->text[length - 1] != '\n') return 0;
  ready->text[length - 1] = '\0';
  proxy[strcspn(proxy, "\n")] = '\0';
  ask[strcspn(ask, "\n")] = '\0';
  expect[strcspn(expect, "\n")] = '\0';
  ready->proxy = proxy;
  ready->ask = ask;
  ready->expect = expect;
  ready->address = address;
  ready->address_bytes = (size_t)(ready->text + length - 1 - address);
  return 1;
}

static int connected(int family, const void* address, socklen_t length) {
  const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const struct timeval patience = {.tv_sec = 2, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  return connect(fd, (const struct sockaddr*)address, length) == 0 ? fd : -1;
}

static int connect_unix(const char* path, size_t length) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  if (length > sizeof name.sun_path - (path[0] != '@')) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(name.sun_path, path, length);
  socklen_t bytes = sizeof name;
  if (path[0] == '@') {
    // unix(7): an abstract name begins with a NUL and may hold others; its length counts.
    name.sun_path[0] = '\0';
    bytes = (socklen_t)(sizeof name - sizeof name.sun_path + length);
  }
  return connected(AF_UNIX, &name, bytes);
}

static int connect_tcp(const char* address) {
  char host[INET6_ADDRSTRLEN + 2];
  const char* colon = strrchr(address, ':');
  const size_t length = colon == NULL ? sizeof host : (size_t)(colon - address);
  errno = EINVAL;
  if (length >= sizeof host) return -1;
  memcpy(host, address, length);
  host[length] = '\0';
  const in_port_t port = htons((unsigned short)atoi(colon + 1));
  if (host[0] == '[' && host[length - 1] == ']') {
    host[length - 1] = '\0';
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = port};
    if (inet_pton(AF_INET6, host + 1, &name.sin6_addr) != 1) return -1;
    return connected(AF_INET6, &name, sizeof name);
  }
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = port};
  if (inet_pton(AF_INET, host, &name.sin_addr) != 1) return -1;
  return connected(AF_INET, &name, sizeof name);
}

int main(void) {
  static struct ready ready;
  if (!read_ready(&ready)) return fail(READY_FILE " is not there or not whole: not ready");
  const int is_unix = ready.address[0] == '/' || ready.address[0] == '@';
  const int fd =
      is_unix ? connect_unix(ready.address, ready.address_bytes) : connect_tcp(ready.address);
  if (fd < 0) return fail_with_errno(ready.address);
  char request[sizeof ready.text + 128];
  const int length = snprintf(
      request, sizeof request, "%sGET %s HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n",
      strcmp(ready.proxy, "yes") == 0 ? "PROXY UNKNOWN\r\n" : "", ready.ask);
  if (send(fd, request, (size_t)length, MSG_NOSIGNAL) != length) return fail_with_errno("send");
  // "HTTP/1.1 404"
  char answer[13] = "";
  const ssize_t got = recv(fd, answer, sizeof answer - 1, MSG_WAITALL);
  if (got < 0) return fail_with_errno("no answer");
  if (got != (ssize_t)sizeof answer - 1) return fail("the connection ended without an answer");
  if (strncmp(answer, "HTTP/1.1 ", 9) == 0 && strcmp(answer + 9, ready.expect) == 0) return 0;
  return fail(answer);
}
