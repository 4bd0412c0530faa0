// Paths and methods of the API.
#include "face/route.h"

#include <gtest/gtest.h>

#include <string>

namespace espora::face {
namespace {

TEST(Route, KnownPaths) {
  const Route post = route("POST", "/clientes/1/transacoes");
  EXPECT_EQ(post.resource, Resource::transactions);
  EXPECT_EQ(post.account_id, 1u);
  for (const char* method : {"GET", "HEAD"}) {
    const Route statement = route(method, "/clientes/4294967295/extrato");
    EXPECT_EQ(statement.resource, Resource::statement);
    EXPECT_EQ(statement.account_id, 4294967295u);
  }
}

TEST(Route, IdsAreCanonicalDecimals) {
  for (const char* id : {"", "01", "00", "+1", "-1", "1.0", " 1", "1 ", "x", "1x", "0x1", "%31",
                         "1e0", "\xD9\xA1", "1/", "/1", "1//"}) {
    EXPECT_EQ(route("GET", "/clientes/" + std::string(id) + "/extrato").resource, Resource::unknown)
        << id;
  }
  // Canonical, but no account has them.
  for (const char* id : {"0", "4294967296", "4294967297", "18446744073709551616",
                         "18446744073709551617", "99999999999999999999999999999999999999"}) {
    const Route found = route("GET", "/clientes/" + std::string(id) + "/extrato");
    EXPECT_EQ(found.resource, Resource::statement) << id;
    EXPECT_EQ(found.account_id, 0u) << id;
  }
}

TEST(Route, PathsAreComparedByteForByte) {
  for (const char* path : {"",
                           "/",
                           "*",
                           "/clientes",
                           "/clientes/",
                           "/clientes/1",
                           "/clientes/1/",
                           "/clientes/1/extrato/",
                           "/clientes/1/Extrato",
                           "/Clientes/1/extrato",
                           "/clientes/1/extratos",
                           "/clientes/1/extrat",
                           "//clientes/1/extrato",
                           "/clientes//1/extrato",
                           "/clientes/1//extrato",
                           "/clientes/1/./extrato",
                           "/a/../clientes/1/extrato",
                           "/clientes/1/%65xtrato",
                           "/clientes/1extrato",
                           "clientes/1/extrato",
                           "/clientes/1/transacoes/",
                           "/clientes/1/transa\xC3\xA7oes",
                           "/clientes/1/extrato;x",
                           "/clientes/1/extrato#"}) {
    EXPECT_EQ(route("GET", path).resource, Resource::unknown) << path;
    EXPECT_EQ(route("POST", path).resource, Resource::unknown) << path;
  }
}

TEST(Route, OtherMethodsAreNotAllowed) {
  for (const char* method :
       {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "post", "POSTS", "POS", "X"}) {
    const Route found = route(method, "/clientes/1/transacoes");
    EXPECT_EQ(found.resource, Resource::method_not_allowed) << method;
    EXPECT_EQ(found.allow, "POST");
  }
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "get", "head", "X"}) {
    const Route found = route(method, "/clientes/99/extrato");
    EXPECT_EQ(found.resource, Resource::method_not_allowed) << method;
    EXPECT_EQ(found.allow, "GET, HEAD");
  }
}

}  // namespace
}  // namespace espora::face
