// The committer, mostly driven without its thread on a simulated disk: whose outcome comes when,
// and what the store then holds. Random histories are the simulation's (sim/committer_desk.cc).
#include "store/committer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sim/weather.h"
#include "store_rig.h"
#include "sys/file_system.h"
#include "sys/limits.h"

namespace espora::store {
namespace {

using sys::Code;

class AllRecords final : public RecordVisitor {
 public:
  sys::Status record(const RecordView& record) override {
    found.emplace_back(reinterpret_cast<const char*>(record.bytes.data()), record.bytes.size());
    return {};
  }
  std::vector<std::string> found;
};

// Units of one record each; each record is filled with its own letter.
std::vector<std::byte> units_of(const std::string& letters, size_t size) {
  std::vector<std::byte> bytes;
  for (const char letter : letters) {
    const SubmittedRecord header{static_cast<uint32_t>(size), 1};
    const size_t at = bytes.size();
    bytes.resize(at + record_extent(size));
    std::memcpy(bytes.data() + at, &header, sizeof header);
    std::memset(bytes.data() + at + sizeof header, letter, size);
  }
  return bytes;
}

class CommitterTest : public testing::Test, protected CommitterEvents {
 protected:
  // A fifth of a segment: what is in use has room for four.
  static constexpr size_t large = limits::segment_bytes_min / 5 + 4096;

  void SetUp() override {
    options_.directory = "store";
    options_.create = true;
    options_.segment_bytes = limits::segment_bytes_min;
    options_.kind = "bytes";
    options_.lock_retry_ms = 0;
    open();
  }
  void open() {
    CommitterEvents& events = *this;
    committer_ = std::make_unique<Committer>(disk_, options_, events);
    ASSERT_TRUE(committer_->open().ok());
    committer_->engine().spare_preparer().set_on_ready([this] { committer_->wake(); });
  }
  void on_opened(const sys::Status&) override { FAIL(); }
  void on_closed(const sys::Status&) override { FAIL(); }
  void on_progress() override { told_++; }

  void submit(const std::string& letters, size_t size = 8) {
    committer_->submit(units_of(letters, size));
  }
  // As the thread would: only where there is something to do.
  bool work() {
    bool open = true;
    while (open && committer_->ready()) open = committer_->turn();
    return open;
  }
  void prepare_spare() {
    while (!committer_->engine().spare_preparer().ready() &&
           committer_->engine().spare_preparer().failure().ok()) {
      (void)committer_->engine().spare_preparer().step();
      disk_.pass_ns(limits::spare_pause_ns);
    }
  }
  // What there is to be taken: "2 ok@1" for two units with sequences from 1 on, "flush ok".
  std::vector<std::string> take() {
    told_ = 0;
    std::vector<Outcome> outcomes;
    committer_->take(outcomes);
    std::vector<std::string> texts;
    for (const Outcome& each : outcomes) {
      const std::string what = each.units == 0 ? "flush" : std::to_string(each.units);
      std::string text = what + " " + std::string(sys::code_name(each.status.code()));
      if (each.units != 0 && each.status.ok()) text += "@" + std::to_string(each.first_seq);
      texts.push_back(std::move(text));
    }
    return texts;
  }
  // The letters of what is stored after a power cut.
  std::string stored_letters() {
    committer_.reset();
    weather_.clear_up();
    disk_.stop(true);
    disk_.restart([] { return false; });
    AllRecords visitor;
    auto opened = Engine::open(disk_, options_, visitor);
    EXPECT_TRUE(opened.ok()) << opened.status().message();
    std::string letters;
    for (const std::string& record : visitor.found) letters += record.substr(0, 1);
    return letters;
  }

  sim::FaultCounts counts_{};
  sim::Weather weather_{counts_, false};
  sim::SimulatedDisk disk_{1, weather_};
  Options options_;
  std::unique_ptr<Committer> committer_;
  int told_ = 0;
};

using Texts = std::vector<std::string>;

TEST_F(CommitterTest, UnitsOfOneTurnAreOneOutcome) {
  submit("ab");
  submit("c");
  EXPECT_TRUE(work());
  EXPECT_EQ(take(), Texts{"3 ok@1"});
  EXPECT_EQ(stored_letters(), "abc");
}

TEST_F(CommitterTest, ARefusedUnitComesBehindThoseThatWereTakenBeforeIt) {
  weather_.full = true;
  prepare_spare();
  submit("abcdefgh", large);
  submit("i");
  EXPECT_TRUE(work());
  // The small one fits into what the large ones left.
  EXPECT_EQ(take(), (Texts{"4 ok@1", "4 no_space", "1 ok@5"}));
  EXPECT_EQ(stored_letters(), "abcdi");
}

TEST_F(CommitterTest, ATooLargeUnitIsRefusedInItsPlace) {
  submit("a");
  submit("b", committer_->engine().batch_payload_bytes_max() + 1);
  submit("c");
  EXPECT_TRUE(work());
  EXPECT_EQ(take(), (Texts{"1 ok@1", "1 too_large", "1 ok@2"}));
  EXPECT_EQ(stored_letters(), "ac");
}

TEST_F(CommitterTest, WhoWaitsForASegmentIsNotOvertakenAndNotForgotten) {
  submit("abcde", large);
  submit("f");
  EXPECT_TRUE(work());
  EXPECT_EQ(take(), Texts{"4 ok@1"});
  submit("g");
  committer_->flush();
  EXPECT_TRUE(work());
  EXPECT_EQ(take(), Texts{});
  prepare_spare();
  EXPECT_TRUE(committer_->ready());
  EXPECT_TRUE(work());
  EXPECT_EQ(take(), (Texts{"3 ok@5", "flush ok"}));
  EXPECT_EQ(stored_letters(), "abcdefg");
}

TEST_F(CommitterTest, WhoWaitsOnADiskThatTurnsOutFullIsRefused) {
  submit("abcde", large);
  EXPECT_TRUE(work());
  EXPECT_EQ(take(), Texts{"4 ok@1"});
  weather_.full = true;
  prepare_spare();
  EXPECT_TRUE(work());
  EXPECT_EQ(take(), Texts{"1 no_space"});
  EXPECT_EQ(stored_letters(), "abcd");
}

// A file system that copies on write had no room for a batch that had its place.
TEST_F(CommitterTest, EveryUnitOfARefusedBatchIsRefusedInItsOrder) {
  submit("a");
  EXPECT_TRUE(work());
  weather_.no_overwrite = true;
  submit("bcd");
  committer_->flush();
  submit("e");
  EXPECT_TRUE(work());
  EXPECT_EQ(take(), (Texts{"1 ok@1", "3 no_space", "flush ok", "1 no_space"}));
  EXPECT_EQ(committer_->facts().last_seq, 1u);
  weather_.no_overwrite = false;
  disk_.pass_ns(limits::spare_retry_ns);
  submit("f");
  EXPECT_TRUE(work());
  EXPECT_EQ(take(), Texts{"1 ok@2"});
  EXPECT_EQ(stored_letters(), "af");
}

TEST_F(CommitterTest, AFlushStandsInTheOrderOfUnits) {
  options_.sync = Sync::never;
  open();
  submit("a");
  committer_->flush();
  submit("b");
  EXPECT_TRUE(work());
  EXPECT_EQ(take(), (Texts{"1 ok@1", "flush ok", "1 ok@2"}));
  EXPECT_EQ(committer_->durable_seq(), 1u);
  EXPECT_EQ(stored_letters(), "a");
}

TEST_F(CommitterTest, ClosingWaitsForWhoWaits) {
  submit("abcde", large);
  EXPECT_TRUE(work());
  committer_->close();
  EXPECT_TRUE(work());
  EXPECT_EQ(take(), Texts{"4 ok@1"});
  prepare_spare();
  EXPECT_FALSE(work());
  EXPECT_TRUE(committer_->finish().ok());
  EXPECT_EQ(take(), Texts{"1 ok@5"});
  EXPECT_EQ(stored_letters(), "abcde");
}

TEST_F(CommitterTest, AfterAFailedFlushNothingIsAcknowledged) {
  submit("a");
  EXPECT_TRUE(work());
  weather_.flushes_left = 0;
  submit("bc");
  submit("d", committer_->engine().batch_payload_bytes_max() + 1);
  submit("e");
  committer_->flush();
  EXPECT_TRUE(work());
  EXPECT_EQ(take(),
            (Texts{"1 ok@1", "2 indeterminate", "1 too_large", "1 failed", "flush failed"}));
  committer_->close();
  EXPECT_FALSE(work());
  EXPECT_FALSE(committer_->finish().ok());
  // The batch whose flush failed is there or not, as a whole; what was refused is not.
  const std::string stored = stored_letters();
  EXPECT_TRUE(stored == "a" || stored == "abc") << stored;
}

TEST_F(CommitterTest, ProgressIsToldOnceUntilItIsTaken) {
  for (int round = 0; round < 2; round++) {
    EXPECT_EQ(told_, 0);
    submit("a");
    EXPECT_TRUE(work());
    submit("b");
    EXPECT_TRUE(work());
    EXPECT_EQ(told_, 1);
    EXPECT_EQ(take().size(), 2u);
  }
}

struct Awaited final : CommitterEvents {
  void on_opened(const sys::Status& status) override { opened.set_value(status.code()); }
  void on_closed(const sys::Status& status) override { closed.set_value(status.code()); }
  void on_progress() override {}
  std::promise<Code> opened;
  std::promise<Code> closed;
};

TEST(CommitterThread, OpensCommitsClosesAndIsWaitedFor) {
  const test::TemporaryDirectory directory;
  sys::PosixFileSystem files;
  Awaited events;
  {
    Committer committer(files, test::options_for(directory.store()), events);
    ASSERT_TRUE(committer.start().ok());
    ASSERT_EQ(events.opened.get_future().get(), Code::ok);
    committer.submit(units_of("abc", 8));
    committer.close();
    committer.stop();
    EXPECT_EQ(committer.durable_seq(), 3u);
  }
  EXPECT_EQ(events.closed.get_future().get(), Code::ok);
}

}  // namespace
}  // namespace espora::store
