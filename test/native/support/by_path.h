// verify() and copy_store() of a store that is named by its path, as most tests use them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "store/copy.h"
#include "store/directory.h"
#include "store/reader.h"
#include "sys/file_system.h"

namespace espora::store {

inline sys::Result<VerifyReport> verify(sys::FileSystem& file_system, const std::string& directory,
                                        bool direct_io = true, const StateMaker& make_state = {},
                                        uint64_t durable_seq = 0) {
  auto opened = Directory::open(file_system, directory, false, direct_io);
  if (!opened.ok()) return opened.status();
  return verify(std::move(opened).value(), make_state, durable_seq);
}

inline sys::Result<CopyReport> copy_store(sys::FileSystem& file_system, const std::string& from,
                                          const std::string& to, OnDamage on_damage,
                                          uint64_t durable_seq = 0, const std::string& like = {}) {
  auto opened = Directory::open(file_system, from, false, true);
  if (!opened.ok()) return opened.status();
  return copy_store(std::move(opened).value(), to, on_damage, durable_seq, like);
}

}  // namespace espora::store
