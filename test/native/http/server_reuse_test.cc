// What is used again must not remember: every request behind every other on one connection, and
// every request in the slot of a connection that ended in any way, gets the answer, byte for byte,
// that it gets from a fresh server.
#include <sys/resource.h>

#include <string>
#include <string_view>
#include <vector>

#include "http/server_harness.h"

namespace espora::test {
namespace {

struct Kind {
  std::string_view name;
  std::string request;
  bool to_head = false;
  bool last = false;  // the connection closes behind the answer
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {
      {"get", get("/now/a")},
      {"head", head_of("/now/a"), true},
      {"post", post("/now/b", "body")},
      {"chunked",
       "POST /now/c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
       "2\r\nxy\r\n0\r\n\r\n"},
      {"unknown", get("/unknown")},
      {"unknown with a body", post("/unknown", "body")},
      {"head of unknown", head_of("/unknown"), true},
      {"method", get("/method/a")},
      {"expecting", post("/now/d", "body", "Expect: 100-continue\r\n")},
      {"expecting, refused", post("/unknown", "body", "Expect: 100-continue\r\n")},
      {"deferred", get("/later/a")},
      {"head, deferred", head_of("/later/a"), true},
      {"keep-alive", get("/now/e", "Connection: keep-alive\r\n")},
      {"keep-alive of 1.0", "GET /now/f HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"},
      {"big", get("/big/9000/a")},
      {"close", get("/now/g", "Connection: close\r\n"), false, true},
      {"1.0", "GET /now/h HTTP/1.0\r\n\r\n", false, true},
      {"bad", "GET  HTTP/1.1\r\n\r\n", false, true},
      {"too large", "POST /now/i HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n", false,
       true},
      {"too large for nobody", "POST /unknown HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n",
       false, true},
  };
  return all;
}

// The whole answer without its date, and whether the stream ended behind it.
std::string answer_to(Client& client, const Kind& kind) {
  if (!client.send(kind.request)) return "not sent";
  const Response response = client.read_response(kind.to_head);
  std::string text = response.head;
  if (const size_t date = text.find("\r\nDate: "); date != std::string::npos) {
    text.erase(date, text.find("\r\n", date + 2) - date);
  }
  text += "\r\n" + response.body;
  if (kind.last) text += client.ends_cleanly() ? "<end>" : "<no end>";
  return text;
}

class ServerReuseTest : public OverBoth {
 protected:
  static std::vector<std::string> fresh_answers() {
    std::vector<std::string> answers;
    for (const Kind& kind : kinds()) {
      Harness harness;
      Client client = harness.connect(tcp());
      answers.push_back(answer_to(client, kind));
      EXPECT_NE(answers.back().substr(0, 9), "\r\n") << kind.name;
    }
    return answers;
  }
};
ESPORA_OVER_BOTH(ServerReuseTest);

TEST_P(ServerReuseTest, EveryRequestBehindEveryOther) {
  const std::vector<std::string> expected = fresh_answers();
  Harness harness;
  for (size_t first = 0; first < kinds().size(); first++) {
    if (kinds()[first].last) continue;
    for (size_t second = 0; second < kinds().size(); second++) {
      Client client = harness.connect(tcp());
      EXPECT_EQ(answer_to(client, kinds()[first]), expected[first]) << kinds()[first].name;
      EXPECT_EQ(answer_to(client, kinds()[second]), expected[second])
          << kinds()[second].name << " behind " << kinds()[first].name;
    }
  }
}

// How connections end, with whatever they leave in their slot.
TEST_P(ServerReuseTest, EveryRequestInTheSlotOfEveryEnd) {
  const std::vector<std::string> expected = fresh_answers();
  std::vector<std::string> ends = {
      "",
      "GET /now/",
      "POST /now/a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
      "POST /unknown HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\nhalf",
      "BAD\r\n\r\n",
      get("/big/4000000/not read"),
  };
  // Owed an answer: only a reset says that nobody waits for it, and unix sockets have none.
  if (tcp()) {
    ends.push_back(head_of("/gate/99/held"));
    ends.push_back(get("/gate/99/held") + get("/gate/99/held"));
  }
  Harness harness;
  for (const std::string& end : ends) {
    for (size_t i = 0; i < kinds().size(); i++) {
      ASSERT_TRUE(harness.wait_active(0));
      const uint64_t bytes = harness.stats().bytes_in.get();
      {
        Client former = harness.connect(tcp());
        ASSERT_TRUE(harness.wait_active(1));
        ASSERT_TRUE(former.send(end));
        ASSERT_TRUE(harness.wait_bytes_in(bytes + end.size()));
        former.reset();
      }
      ASSERT_TRUE(harness.wait_active(0));
      Client client = harness.connect(tcp());
      ASSERT_TRUE(harness.wait_active(1));
      EXPECT_EQ(answer_to(client, kinds()[i]), expected[i]) << kinds()[i].name << " after " << end;
    }
  }
  // What was held for them is forgotten: nothing comes of it, and nobody else is in its way.
  Client last = harness.connect(tcp());
  ASSERT_TRUE(last.send(get("/gate/99/mine")));
  ASSERT_TRUE(eventually([&] { return harness.seen().back() == "GET /gate/99/mine "; }));
  harness.open_gate(99);
  EXPECT_EQ(last.read_response().body, "GET /gate/99/mine ");
}

// Whatever shut it the time before.
TEST_P(ServerReuseTest, TheDoorOpensAfterEachShortage) {
  Harness harness;
  for (int shortage = 0; shortage < 3; ++shortage) {
    std::vector<Client> clients;
    for (int i = 0; i < 4; ++i) clients.emplace_back(SocketClient::make(tcp()));
    const uint64_t pauses = harness.stats().accept_pauses.get();
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const int next = sys::Fd(::fcntl(0, F_DUPFD_CLOEXEC, 0)).get();
    const rlimit none{static_cast<rlim_t>(next), before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    for (Client& client : clients) {
      EXPECT_TRUE(tcp() ? client.connect_tcp(harness.server().port())
                        : client.connect_unix(harness.socket_path()));
    }
    EXPECT_TRUE(eventually([&] { return harness.stats().accept_pauses.get() > pauses; }));
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    for (Client& client : clients) {
      EXPECT_EQ(client.exchange(get("/now/a")).body, "GET /now/a ");
      client.close();
    }
    ASSERT_TRUE(harness.wait_active(0));
  }
}

// The first request has its answer when its ticket is used again: by then the connection waits for
// another, or somebody else has its slot and waits, too.
TEST_P(ServerReuseTest, ATicketIsOfOneRequestOnly) {
  Harness harness;
  for (const bool same_connection : {true, false}) {
    const size_t tickets = harness.call([&] { return harness.deferred(); });
    const auto wait_deferred = [&](size_t count) {
      return eventually(
          [&] { return harness.call([&] { return harness.deferred(); }) == tickets + count; });
    };
    Client client = harness.connect(tcp());
    ASSERT_TRUE(client.send(get("/defer/first")));
    ASSERT_TRUE(wait_deferred(1));
    harness.answer_deferred(tickets);
    EXPECT_EQ(client.read_response().body, "GET /defer/first ");
    if (!same_connection) {
      client.close();
      ASSERT_TRUE(harness.wait_active(0));
      client = harness.connect(tcp());
    }
    ASSERT_TRUE(client.send(get("/defer/second")));
    ASSERT_TRUE(wait_deferred(2));
    harness.answer_deferred(tickets);
    harness.answer_deferred(tickets + 1);
    EXPECT_EQ(client.read_response().body, "GET /defer/second ");
    client.close();
    ASSERT_TRUE(harness.wait_active(0));
  }
}

}  // namespace
}  // namespace espora::test
