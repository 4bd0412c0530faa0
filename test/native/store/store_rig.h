// What the store's tests share: a directory that goes away, a visitor that keeps what it saw, and
// an engine that is driven inline.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "store/engine.h"
#include "sys/file_system.h"

namespace espora::test {

namespace fs = std::filesystem;

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (fs::temp_directory_path() / "espora-store-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  // Of the store, below the directory itself: the engine makes it.
  [[nodiscard]] std::string store() const { return (path_ / "store").string(); }
  [[nodiscard]] fs::path path() const { return path_; }

 private:
  fs::path path_;
};

struct Row {
  uint64_t seq = 0;
  uint64_t time_us = 0;
  uint16_t type = 0;
  uint16_t flags = 0;
  std::string bytes;
  bool operator==(const Row&) const = default;
};

inline std::ostream& operator<<(std::ostream& out, const Row& row) {
  return out << "{" << row.seq << " at " << row.time_us << ", type " << row.type << ", "
             << row.bytes.size() << " bytes \"" << row.bytes.substr(0, 20) << "\"}";
}

inline Row row_of(const store::RecordView& record) {
  return {record.seq, record.time_us, record.type, record.flags,
          std::string(reinterpret_cast<const char*>(record.bytes.data()), record.bytes.size())};
}

class Keeper final : public store::RecordVisitor {
 public:
  sys::Status record(const store::RecordView& record) override {
    EXPECT_EQ(record.seq, rows.size() + 1);
    EXPECT_TRUE(rows.empty() || rows.back().time_us <= record.time_us);
    rows.push_back(row_of(record));
    if (record.seq == refuse_seq) return sys::Status(sys::Code::invalid, "refused by the visitor");
    return {};
  }
  sys::Status end() override {
    ends++;
    return {};
  }
  sys::Result<std::vector<std::byte>> schema_changed(store::Bytes stored,
                                                     store::Bytes given) override {
    stored_schema.assign(reinterpret_cast<const char*>(stored.data()), stored.size());
    if (!accept_schema) return RecordVisitor::schema_changed(stored, given);
    const store::Bytes kept = keep_schema ? stored : given;
    return std::vector<std::byte>(kept.begin(), kept.end());
  }

  std::vector<Row> rows;
  uint64_t refuse_seq = 0;
  bool accept_schema = false;
  bool keep_schema = false;  // the stored one, if it is accepted
  std::string stored_schema;
  int ends = 0;
};

inline store::Options options_for(const std::string& directory) {
  store::Options options;
  options.directory = directory;
  options.create = true;
  options.segment_bytes = uint64_t{1} << 20;
  options.kind = "test";
  options.lock_retry_ms = 0;
  return options;
}

inline store::Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

// An opened store, or the Status why not.
struct Opened {
  Keeper keeper;
  sys::Status status;
  std::unique_ptr<store::Engine> engine;
  std::vector<Row> appended;  // everything that the engine took, whatever became of it

  store::Engine* operator->() const { return engine.get(); }

  // Steps the preparer while the next segment is late.
  sys::Status reserve(size_t bytes, uint32_t records) {
    for (;;) {
      sys::Status status_now = engine->reserve(bytes, records);
      if (status_now.code() != sys::Code::unavailable) return status_now;
      (void)engine->spare_preparer().prepare_now();
    }
  }
  sys::Status append(std::string_view bytes, uint16_t type = 1, uint16_t flags = 0) {
    sys::Status reserved = reserve(bytes.size(), 1);
    if (!reserved.ok()) return reserved;
    const uint64_t time_us = engine->batch_time_us();
    const uint64_t seq = engine->append(type, flags, bytes_of(bytes));
    appended.push_back({seq, time_us, type, flags, std::string(bytes)});
    return {};
  }
  // One batch of one record.
  sys::Status put(std::string_view bytes, uint16_t type = 1) {
    sys::Status status_now = append(bytes, type);
    return status_now.ok() ? engine->commit() : status_now;
  }
  // Everything that is in the log now.
  [[nodiscard]] std::vector<Row> all() const {
    std::vector<Row> rows = keeper.rows;
    rows.insert(rows.end(), appended.begin(), appended.end());
    return rows;
  }
};

// The keeper must not move once the engine knows it.
inline std::unique_ptr<Opened> open_store(sys::FileSystem& file_system,
                                          const store::Options& options, uint64_t refuse_seq = 0) {
  auto opened = std::make_unique<Opened>();
  opened->keeper.refuse_seq = refuse_seq;
  auto result = store::Engine::open(file_system, options, opened->keeper);
  opened->status = result.status();
  if (result.ok()) opened->engine = std::move(result).value();
  return opened;
}

inline std::unique_ptr<Opened> open_store(const std::string& directory) {
  static sys::PosixFileSystem real;
  return open_store(real, options_for(directory));
}

inline std::string read_file(const fs::path& path) {
  // To its end, not as long as it is said to be: a file of /proc has no length.
  std::ostringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return std::move(bytes).str();
}

inline void write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// All files but LOCK, by name.
inline std::map<std::string, std::string> contents(const fs::path& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().filename() != "LOCK" && entry.is_regular_file()) {
      files[entry.path().filename()] = read_file(entry.path());
    }
  }
  return files;
}

inline void restore(const fs::path& directory, const std::map<std::string, std::string>& files) {
  fs::remove_all(directory);
  fs::create_directories(directory);
  for (const auto& [name, bytes] : files) write_file(directory / name, bytes);
}

inline std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// A record's text that says which one it is, `size` bytes long.
inline std::string text_of(uint64_t number, size_t size) {
  std::string text = "record " + std::to_string(number) + " ";
  const size_t named = text.size();
  text.resize(size);
  for (size_t i = named; i < size; i++) text[i] = static_cast<char>('a' + (number + i) % 26);
  return text;
}

#define EXPECT_OK(expression)                               \
  do {                                                      \
    const ::espora::sys::Status status_seen = (expression); \
    EXPECT_TRUE(status_seen.ok()) << status_seen.message(); \
  } while (false)
#define ASSERT_OK(expression)                               \
  do {                                                      \
    const ::espora::sys::Status status_seen = (expression); \
    ASSERT_TRUE(status_seen.ok()) << status_seen.message(); \
  } while (false)

}  // namespace espora::test
