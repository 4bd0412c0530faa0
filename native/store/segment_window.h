// The piece of a segment's file that is in memory. Whoever reads frames, to open a store, beside
// its writer, or to copy what is left of one, reads them through here: what that takes is the same
// for every size of a segment.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "store/directory.h"
#include "store/recovery.h"
#include "sys/limits.h"
#include "sys/status.h"

namespace espora::store {

// Belongs to one thread. `directory`, and the file that it looks at, must outlive it.
class SegmentWindow final : public SegmentBlocks {
 public:
  // `portion_bytes`: of one read, at most.
  explicit SegmentWindow(Directory& directory,
                         size_t portion_bytes = limits::store_read_bytes) noexcept
      : directory_(directory), portion_blocks_(blocks_of(portion_bytes)) {}

  // From now on at the blocks of `file` before `end_block`.
  void look_at(ReadFile& file, uint32_t end_block, Missing missing = Missing::is_damage) noexcept;
  // What it holds may have changed.
  void forget() noexcept;
  // Gives the memory back.
  void close() noexcept;

  [[nodiscard]] uint32_t end_block() const noexcept override { return end_block_; }
  [[nodiscard]] std::span<const uint32_t> unreadable() const noexcept override {
    return refused_.blocks;
  }
  // Code::unreadable where one of these blocks was refused.
  [[nodiscard]] sys::Status readable(uint32_t block, uint32_t count) const;

  // At most as many blocks as the largest frame or one read has. Where it goes on from what it
  // holds it reads ahead; elsewhere it reads what was asked for.
  sys::Status show(uint32_t block, uint32_t count, SegmentImage& image) override;
  // All from `block` on, only for what the device refuses of it.
  sys::Status look_through(uint32_t block);
  // show() in steps: whether they are there; a read of some that are not, one system call unless
  // the device refuses blocks; what there is.
  [[nodiscard]] bool holds(uint32_t block, uint32_t count) const noexcept;
  sys::Status read(uint32_t block, uint32_t count);
  [[nodiscard]] SegmentImage image() const noexcept {
    return {buffer_.span().first(size_t{blocks_} * format::block_bytes), refused_.blocks, first_};
  }

 private:
  [[nodiscard]] uint32_t end_of(uint32_t block, uint32_t count) const noexcept;
  [[nodiscard]] std::byte* place(uint32_t block) const noexcept {
    return buffer_.data() + size_t{block - first_} * format::block_bytes;
  }

  Directory& directory_;
  const uint32_t portion_blocks_;
  ReadFile* file_ = nullptr;
  Missing missing_ = Missing::is_damage;
  uint32_t end_block_ = 0;
  BlockBuffer buffer_;
  uint32_t first_ = 0;   // where what it holds lies in the file
  uint32_t blocks_ = 0;  // how many these are
  RefusedBlocks refused_;
};

}  // namespace espora::store
