// The lookup that the unwinder uses where the C library has none of its own: which object an
// address is in, and where its tables are. The addon links it; here it stands before the C
// library's.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <link.h>
#include <unistd.h>

#include <cstdint>

namespace {

#ifdef DLFO_STRUCT_HAS_EH_DBASE

// Of which file an address is part.
const void* base_of(const void* address) {
  Dl_info info{};
  return ::dladdr(address, &info) != 0 ? info.dli_fbase : nullptr;
}

TEST(GlibcFloor, AnAddressIsFoundInItsObjectAndNoOther) {
  void* const known[] = {reinterpret_cast<void*>(&base_of), reinterpret_cast<void*>(&::getpid),
                         ::dlsym(RTLD_DEFAULT, "_ZNSt9exceptionD1Ev")};
  for (void* const address : known) {
    ASSERT_NE(base_of(address), nullptr);
    dl_find_object found{};
    ASSERT_EQ(::_dl_find_object(address, &found), 0);
    EXPECT_LE(found.dlfo_map_start, address);
    EXPECT_GT(found.dlfo_map_end, address);
    EXPECT_EQ(base_of(found.dlfo_eh_frame), base_of(address));
    // The table's version and the encoding of what follows, of the Linux Standard Base.
    EXPECT_EQ(static_cast<const uint8_t*>(found.dlfo_eh_frame)[0], 1);
    EXPECT_EQ(found.dlfo_flags, 0u);
    EXPECT_EQ(found.dlfo_link_map, nullptr);
  }
  EXPECT_NE(base_of(known[0]), base_of(known[1]));
}

TEST(GlibcFloor, AnAddressInNoObjectIsNotFound) {
  int local = 0;
  dl_find_object found{};
  EXPECT_EQ(::_dl_find_object(&local, &found), -1);
  EXPECT_EQ(::_dl_find_object(nullptr, &found), -1);
}

#endif

}  // namespace
