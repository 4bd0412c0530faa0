// What an errno means, and how codes and errors are spelled: users and the library go by both.
#include "sys/status.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

namespace espora::sys {
namespace {

TEST(Status, EachErrnoHasItsCode) {
  constexpr std::pair<int, Code> table[] = {
      {0, Code::ok},
      {EINVAL, Code::invalid},
      {ENAMETOOLONG, Code::invalid},
      {ENOTDIR, Code::invalid},
      {EISDIR, Code::invalid},
      {ELOOP, Code::invalid},
      {ENOENT, Code::not_found},
      {EEXIST, Code::exists},
      {EACCES, Code::permission},
      {EPERM, Code::permission},
      {EROFS, Code::permission},
      {EADDRINUSE, Code::address_in_use},
      {ECONNREFUSED, Code::unavailable},
      {EADDRNOTAVAIL, Code::unavailable},
      {EHOSTUNREACH, Code::unavailable},
      {ENETUNREACH, Code::unavailable},
      {ENOSPC, Code::no_space},
      {EDQUOT, Code::no_space},
      {EMFILE, Code::resources},
      {ENFILE, Code::resources},
      {ENOMEM, Code::resources},
      {ENOBUFS, Code::resources},
      {ENOLCK, Code::resources},
      {EAGAIN, Code::resources},
      {EFBIG, Code::too_large},
      {EOPNOTSUPP, Code::unsupported},
      {ENOSYS, Code::unsupported},
      {EIO, Code::io},
      {EPIPE, Code::io},
  };
  for (const auto& [error, code] : table) {
    EXPECT_EQ(code_from_errno(error), code) << errno_name(error);
  }
}

TEST(Status, CodesAreSpelledAsTheyAreNamed) {
  constexpr std::string_view names[] = {"ok",       "invalid",     "not_found",      "exists",
                                        "locked",   "permission",  "address_in_use", "unavailable",
                                        "no_space", "too_large",   "overloaded",     "io",
                                        "corrupt",  "version",     "indeterminate",  "failed",
                                        "closed",   "unsupported", "unreadable",     "resources"};
  static_assert(std::size(names) == static_cast<size_t>(Code::resources) + 1);
  for (size_t i = 0; i < std::size(names); ++i) {
    EXPECT_EQ(code_name(static_cast<Code>(i)), names[i]);
  }
}

TEST(Status, AFailedCallSaysWhatFailedAndHow) {
  const Status full = Status::from_errno(ENOSPC, "pwrite", "segment 1");
  EXPECT_FALSE(full.ok());
  EXPECT_EQ(full.code(), Code::no_space);
  EXPECT_EQ(full.error(), ENOSPC);
  EXPECT_EQ(full.message(), "segment 1: pwrite: No space left on device (ENOSPC)");
  // The place of the failure may decide what it means.
  const Status unsure = Status::from_errno(Code::indeterminate, EIO, "fsync", "segment 1");
  EXPECT_EQ(unsure.code(), Code::indeterminate);
  EXPECT_EQ(unsure.error(), EIO);
  EXPECT_EQ(errno_name(12345), "errno 12345");
}

}  // namespace
}  // namespace espora::sys
