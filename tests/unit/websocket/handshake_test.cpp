#include "protocols/websocket/handshake.h"

#include <catch2/catch.hpp>
#include <ctime>
#include <string>

#include "core/http/exchange_book.h"

using namespace sluice;
using namespace sluice::websocket;

namespace {

// RFC 6455, 1.3.
constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";
constexpr std::string_view kAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

struct Request : RequestHead {
    explicit Request(HttpVersion by = HttpVersion::http11) {
        version = by;
        method = by == HttpVersion::http2 ? "CONNECT" : "GET";
        upgrade = "websocket";
        headers.add("sec-websocket-version", "13");
        if (by != HttpVersion::http2) headers.add("sec-websocket-key", kKey);
    }
    Request& with(std::string_view name, std::string_view value) {
        headers.add(name, value);
        return *this;
    }
    Request& without(std::string_view name) {
        headers.remove_if([&](HeaderMap::Field field) { return field.name == name; });
        return *this;
    }
};

int status_of(const RequestHead& head, const config::WebSocketAction& rules = {}) {
    const auto refusal = check_request(head, rules);
    return refusal ? refusal->status : 0;
}

std::optional<Deflation> chosen(std::string_view offers, int bits = 12, bool frugal = false) {
    return choose_deflation(Request().with("sec-websocket-extensions", offers), bits, frugal);
}

std::string answer_to(std::string_view offers, int bits = 12, bool frugal = false) {
    const auto deflation = chosen(offers, bits, frugal);
    return deflation ? to_string(*deflation) : "none";
}

struct Upstream : ResponseHead {
    Upstream() {
        status = 101;
        headers = {{"upgrade", "WebSocket"}, {"connection", "Upgrade"}, {"sec-websocket-accept", kAccept}};
    }
};

std::string_view fault_with(std::string_view extensions, std::string_view offers) {
    Upstream answer;
    answer.headers.add("sec-websocket-extensions", extensions);
    return check_answer(answer, kKey, "", offers);
}

// Of the processor: others may be busy.
template <class Work>
double seconds_of(Work&& work) {
    const std::clock_t before = std::clock();
    work();
    return static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
}

}  // namespace

TEST_CASE("handshake: a request that is right", "[websocket][handshake]") {
    CHECK(status_of(Request()) == 0);
    CHECK(status_of(Request(HttpVersion::http2)) == 0);
    Request spelled;
    spelled.upgrade = "WebSocket";
    CHECK(status_of(spelled) == 0);
}

TEST_CASE("handshake: no upgrade, or another one", "[websocket][handshake]") {
    for (const std::string_view upgrade : {"", "h2c", "websocket2", "web"})
        for (const auto version : {HttpVersion::http11, HttpVersion::http2}) {
            Request request(version);
            request.upgrade = upgrade;
            CHECK(status_of(request) == 426);
        }
    CHECK(status_of(Request(HttpVersion::http10)) == 426);
    Request post;
    post.method = "POST";
    CHECK(status_of(post) == 400);
    Request get(HttpVersion::http2);
    get.method = "GET";
    CHECK(status_of(get) == 400);
}

TEST_CASE("handshake: versions other than 13", "[websocket][handshake]") {
    for (const auto version : {HttpVersion::http11, HttpVersion::http2}) {
        CHECK(status_of(Request(version).without("sec-websocket-version")) == 426);
        for (const std::string_view other : {"8", "", "013", "13, 8", "14"})
            CHECK(status_of(Request(version).without("sec-websocket-version").with("sec-websocket-version", other)) ==
                  426);
        CHECK(status_of(Request(version).with("sec-websocket-version", "13")) == 400);
    }
}

TEST_CASE("handshake: one key of sixteen bytes, but in HTTP/2", "[websocket][handshake]") {
    CHECK(status_of(Request().without("sec-websocket-key")) == 400);
    CHECK(status_of(Request().with("sec-websocket-key", kKey)) == 400);
    for (const std::string_view bad :
         {"", "dGhl", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQA=",
          "dGhlIHNhbXBsZSBub25jZQAA", "dGhlIHNhbXBsZSBub25jZQ==AAAA", "dGhlIHNhbXBsZSBub25j===_",
          "dGhlIHNhbXBsZSBub25j$Q==", "dGhlIHNhbXBsZSBub25j ===", "========================"})
        CHECK(status_of(Request().without("sec-websocket-key").with("sec-websocket-key", bad)) == 400);
    for (int i = 0; i < 50; ++i)
        CHECK(status_of(Request().without("sec-websocket-key").with("sec-websocket-key", make_key())) == 0);
    CHECK(make_key() != make_key());
}

TEST_CASE("handshake: extensions that break the grammar", "[websocket][handshake]") {
    for (const std::string_view bad : {";", "a;", "a;;b", "a b", "a;b=", "a;=c", "a;b=\"\"", "a;b=\"c", "a;b=\"c d\"",
                                       "a;b=c d", "\"a\"", "a=b", "a;b=\"c\\", "a;b=\"c\"d", "x, (y)", "a;b==c"})
        CHECK(status_of(Request().with("sec-websocket-extensions", bad)) == 400);
    for (const std::string_view good :
         {"", ",", " , ,", "a", ",a,,b,", "a;b;c=d", "a ; b = c , d;e=\"f\"", "a;b=\"\\c\"", "permessage-deflate;what"})
        CHECK(status_of(Request().with("sec-websocket-extensions", good)) == 0);
    CHECK(status_of(Request().with("sec-websocket-extensions", "a").with("sec-websocket-extensions", ";")) == 400);
}

TEST_CASE("handshake: origins and required headers", "[websocket][handshake]") {
    config::WebSocketAction rules;
    rules.origins = {"https://example.com"};
    CHECK(status_of(Request().with("origin", "https://example.com"), rules) == 0);
    CHECK(status_of(Request(), rules) == 0);
    CHECK(status_of(Request().with("origin", "https://evil.com"), rules) == 403);
    CHECK(status_of(Request().with("origin", "https://example.com").with("origin", "https://evil.com"), rules) == 403);
    CHECK(status_of(Request().with("origin", ""), rules) == 403);
    CHECK(status_of(Request(HttpVersion::http2).with("origin", "null"), rules) == 403);
    rules.require_headers = {"authorization", "x-tenant"};
    CHECK(status_of(Request().with("authorization", "x"), rules) == 403);
    CHECK(status_of(Request().with("authorization", "x").with("x-tenant", ""), rules) == 0);
}

TEST_CASE("handshake: which origins are allowed", "[websocket][handshake]") {
    const std::vector<std::string> allowed = {"https://example.com", "http://localhost:3000", "https://*.example.org",
                                              "https://*.example.net:8443"};
    CHECK(allows_origin({}, "https://anything"));
    CHECK_FALSE(allows_origin(allowed, ""));
    for (const char* good : {"https://example.com", "HTTPS://Example.com", "http://localhost:3000",
                             "https://a.example.org", "https://a.b-c.example.org", "https://x.example.net:8443"})
        CHECK(allows_origin(allowed, good));
    for (const char* bad :
         {"http://example.com", "https://example.com:444", "https://example.com.evil.com", "https://a.example.com",
          "http://localhost", "https://example.org", "https://.example.org", "https://evilexample.org",
          "http://a.example.org", "https://a.example.org:444", "https://x.example.net", "https://evil.com/.example.org",
          "https://evil.com:1.example.org", "https://evil.com#.example.org", "https://user@a.example.org",
          "https://a..b.example.org", "https://..example.org", "null", "x"})
        CHECK_FALSE(allows_origin(allowed, bad));
    CHECK(allows_origin({"null"}, "null"));
}

TEST_CASE("handshake: answers to what is refused", "[websocket][handshake]") {
    const auto upgrade = refusal_of({426, ""}, Request());
    CHECK(upgrade.status == 426);
    CHECK(upgrade.headers.get("sec-websocket-version") == "13");
    CHECK(upgrade.headers.get("upgrade") == "websocket");
    CHECK(upgrade.headers.get("connection") == "upgrade");
    CHECK(upgrade.headers.get("content-type") == "text/plain");
    const auto http2 = refusal_of({426, ""}, Request(HttpVersion::http2));
    CHECK(http2.headers.get("sec-websocket-version") == "13");
    CHECK_FALSE(http2.headers.has("upgrade"));
    CHECK_FALSE(http2.headers.has("connection"));
    const auto forbidden = refusal_of({403, "No."}, Request());
    CHECK(forbidden.status == 403);
    CHECK(forbidden.content_length == 4u);
    CHECK(forbidden.headers.size() == 1);
    CHECK(refusal_of({503, "full"}, Request()).headers.get("retry-after") == kRetryAfter);
}

TEST_CASE("handshake: the subprotocol is the first of ours that is offered", "[websocket][handshake]") {
    const std::vector<std::string> ours = {"chat.v2", "chat.v1", "chat"};
    const auto choice = [&](std::string_view offered) {
        return choose_subprotocol(Request().with("sec-websocket-protocol", offered), ours);
    };
    CHECK(choose_subprotocol(Request(), ours).empty());
    CHECK(choice("chat.v1") == "chat.v1");
    CHECK(choice("chat, chat.v1 ,, chat.v2") == "chat.v2");
    CHECK(choice("chat,other,chat.v1").data() == ours[1].data());
    CHECK(choice("Chat").empty());
    CHECK(choice("other").empty());
    CHECK(choice("").empty());
    Request several;
    several.with("sec-websocket-protocol", "chat").with("sec-websocket-protocol", "x, chat.v1");
    CHECK(choose_subprotocol(several, ours) == "chat.v1");
    CHECK(choose_subprotocol(several, {}).empty());
}

TEST_CASE("handshake: the answer of acceptance", "[websocket][handshake]") {
    CHECK(accept_of(kKey) == kAccept);
    const auto answer = acceptance(Request(), "chat", "permessage-deflate");
    CHECK(answer.status == 101);
    CHECK(answer.headers.get("upgrade") == "websocket");
    CHECK(answer.headers.get("connection") == "upgrade");
    CHECK(answer.headers.get("sec-websocket-accept") == kAccept);
    CHECK(answer.headers.get("sec-websocket-protocol") == "chat");
    CHECK(answer.headers.get("sec-websocket-extensions") == "permessage-deflate");
    CHECK(acceptance(Request(), "", "").headers.size() == 3);
    const auto http2 = acceptance(Request(HttpVersion::http2), "chat", "");
    CHECK(http2.status == 200);
    CHECK(http2.headers.size() == 1);
    CHECK(http2.headers.get("sec-websocket-protocol") == "chat");
}

TEST_CASE("permessage-deflate: the first offer that can be served", "[websocket][handshake]") {
    CHECK_FALSE(choose_deflation(Request(), 12, false));
    CHECK(answer_to("permessage-deflate") == "permessage-deflate; server_max_window_bits=12");
    CHECK(answer_to("permessage-deflate", 15) == "permessage-deflate; server_max_window_bits=15");
    CHECK(answer_to("permessage-deflate; client_max_window_bits") ==
          "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12");
    CHECK(answer_to("permessage-deflate; client_max_window_bits=10; server_max_window_bits=\"11\"") ==
          "permessage-deflate; server_max_window_bits=11; client_max_window_bits=10");
    CHECK(answer_to("permessage-deflate;client_max_window_bits=8") ==
          "permessage-deflate; server_max_window_bits=12; client_max_window_bits=8");
    CHECK(answer_to("permessage-deflate; server_no_context_takeover; client_no_context_takeover") ==
          "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12");
    CHECK(answer_to("permessage-deflate", 9, true) ==
          "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9");
    CHECK(chosen("permessage-deflate") == Deflation{.server_max_window_bits = 12, .client_max_window_bits = 15});
    CHECK(chosen("permessage-deflate; client_max_window_bits=15")->client_max_window_bits == 12);
}

TEST_CASE("permessage-deflate: offers that cannot be served are passed over", "[websocket][handshake]") {
    for (const std::string bad :
         {"x-webkit-deflate-frame", "permessage-deflat", "Permessage-Deflate", "permessage-deflate; unknown",
          "permessage-deflate; server_no_context_takeover=1", "permessage-deflate; server_max_window_bits",
          "permessage-deflate; server_max_window_bits=8", "permessage-deflate; server_max_window_bits=7",
          "permessage-deflate; server_max_window_bits=16", "permessage-deflate; server_max_window_bits=010",
          "permessage-deflate; server_max_window_bits=+9", "permessage-deflate; client_max_window_bits=16",
          "permessage-deflate; client_max_window_bits=x", "permessage-deflate; client_max_window_bits=999999999999999",
          "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
          "permessage-deflate; client_max_window_bits; client_max_window_bits=10"}) {
        CHECK(answer_to(bad) == "none");
        CHECK(answer_to(bad + ", permessage-deflate; server_max_window_bits=9") ==
              "permessage-deflate; server_max_window_bits=9");
    }
    // In several fields: one list, the first wins.
    Request several;
    several.with("sec-websocket-extensions", "other;a=b, ,")
        .with("sec-websocket-extensions", "permessage-deflate; server_max_window_bits=10,")
        .with("sec-websocket-extensions", "permessage-deflate; server_max_window_bits=9");
    CHECK(choose_deflation(several, 12, false)->server_max_window_bits == 10);
    CHECK(deflate_offers(several) ==
          "permessage-deflate; server_max_window_bits=10, permessage-deflate; server_max_window_bits=9");
}

TEST_CASE("permessage-deflate: the offers that go on to an upstream", "[websocket][handshake]") {
    const auto offers = [](std::string_view text) {
        return deflate_offers(Request().with("sec-websocket-extensions", text));
    };
    CHECK(deflate_offers(Request()).empty());
    CHECK(offers("other").empty());
    CHECK(offers("a;b=\"permessage\", permessage-deflate ;client_max_window_bits , c") ==
          "permessage-deflate ;client_max_window_bits");
    CHECK(offers("permessage-deflate;server_max_window_bits=8") == "permessage-deflate;server_max_window_bits=8");
    CHECK(offers("permessage-deflate;x, permessage-deflate") == "permessage-deflate");
}

TEST_CASE("handshake: an upstream's answer", "[websocket][handshake]") {
    CHECK(check_answer(Upstream(), kKey, "", "").empty());
    CHECK(check_answer(Upstream(), kKey, "chat", "permessage-deflate").empty());
    CHECK_FALSE(check_answer(Upstream(), make_key(), "", "").empty());
    const auto fault_without = [](std::string_view name, std::string_view instead) {
        Upstream answer;
        answer.headers.remove_if([&](HeaderMap::Field field) { return field.name == name; });
        if (!instead.empty()) answer.headers.add(name, instead);
        return !check_answer(answer, kKey, "", "").empty();
    };
    for (const char* name : {"upgrade", "connection", "sec-websocket-accept"}) CHECK(fault_without(name, ""));
    CHECK(fault_without("upgrade", "h2c"));
    CHECK(fault_without("connection", "close"));
    CHECK_FALSE(fault_without("connection", "keep-alive, UPGRADE"));
    CHECK(fault_without("sec-websocket-accept", "S3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    Upstream twice;
    twice.headers.add("sec-websocket-accept", kAccept);
    CHECK_FALSE(check_answer(twice, kKey, "", "").empty());
}

TEST_CASE("handshake: an upstream chooses only among the subprotocols offered", "[websocket][handshake]") {
    const auto fault = [](std::string_view choice, std::string_view offered) {
        Upstream answer;
        answer.headers.add("sec-websocket-protocol", choice);
        return !check_answer(answer, kKey, offered, "").empty();
    };
    CHECK_FALSE(fault("chat", "chat"));
    CHECK_FALSE(fault("chat", "a, chat ,b"));
    CHECK(fault("chat", ""));
    CHECK(fault("chat", "chat2, Chat"));
    CHECK(fault("a, chat", "a, chat"));
    CHECK(fault("", "a"));
    Upstream twice;
    twice.headers.add("sec-websocket-protocol", "a");
    twice.headers.add("sec-websocket-protocol", "a");
    CHECK_FALSE(check_answer(twice, kKey, "a", "").empty());
}

TEST_CASE("permessage-deflate: an upstream's choice is one of the offers", "[websocket][handshake]") {
    struct Case {
        std::string_view answer, offers;
    };
    for (const auto& [answer, offers] : {
             Case{"permessage-deflate", "permessage-deflate"},
             {"permessage-deflate", "permessage-deflate; client_no_context_takeover; client_max_window_bits=10"},
             {"permessage-deflate; server_no_context_takeover; client_no_context_takeover", "permessage-deflate"},
             {"permessage-deflate; server_max_window_bits=8", "permessage-deflate"},
             {"permessage-deflate; server_max_window_bits=15", "permessage-deflate; server_max_window_bits=15"},
             {"permessage-deflate; client_max_window_bits=12", "permessage-deflate; client_max_window_bits"},
             {"permessage-deflate; client_max_window_bits=10", "permessage-deflate; client_max_window_bits=11"},
             {"permessage-deflate", "permessage-deflate; server_max_window_bits=9, permessage-deflate"},
             {"", ""},
         })
        CHECK(fault_with(answer, offers).empty());
    for (const auto& [answer, offers] : {
             Case{"permessage-deflate", ""},
             {"permessage-deflate", "permessage-deflate; server_no_context_takeover"},
             {"permessage-deflate", "permessage-deflate; server_max_window_bits=15"},
             {"permessage-deflate; server_max_window_bits=11", "permessage-deflate; server_max_window_bits=10"},
             {"permessage-deflate; client_max_window_bits=12", "permessage-deflate"},
             {"permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits"},
             {"permessage-deflate; client_max_window_bits=12", "permessage-deflate; client_max_window_bits=11"},
             {"permessage-deflate; unknown", "permessage-deflate"},
             {"permessage-deflate, permessage-deflate", "permessage-deflate"},
             {"other", "permessage-deflate"},
             {"permessage-deflate, other", "permessage-deflate"},
             {"permessage-deflate;", "permessage-deflate"},
         })
        CHECK_FALSE(fault_with(answer, offers).empty());
}

// What is not linear would take seconds.
TEST_CASE("handshake: large headers are read once", "[websocket][handshake]") {
    const auto repeated = [](std::string_view piece) {
        std::string text;
        while (text.size() < 32 * 1024) text += piece;
        return text;
    };
    for (const char* piece : {",", "a,", "a;b=\"c\",", "permessage-deflate; server_max_window_bits=9; x,", "a;b;", "\"",
                              "\\\"", "a;b=\"\\", ", ,", "   ", "permessage-deflate,"}) {
        const std::string text = repeated(piece);
        Request request;
        request.with("sec-websocket-extensions", text).with("sec-websocket-protocol", text);
        CHECK(seconds_of([&] {
                  check_request(request, {});
                  choose_deflation(request, 12, true);
                  choose_subprotocol(request, {"x", "y", "z"});
                  check_answer(Upstream(), kKey, text, deflate_offers(request));
                  fault_with(text, text);
                  CHECK(deflate_offers(request).size() <= 2 * text.size());
              }) < 1.0);
    }
}
