#include "core/upstream/forwarding.h"

#include <catch2/catch.hpp>
#include <set>

#include "tests/unit/upstream/forwarding_support.h"

using namespace sluice;
using namespace sluice::test;

namespace {

// The value of the one field of that name; "-" if there is none, "several" if there are more.
std::string value_of(const Fields& fields, const std::string& name) {
    std::string found = "-";
    for (const auto& [field, value] : fields)
        if (field == name) found = found == "-" ? value : "several";
    return found;
}

config::ProxyAction with(ForwardedMode x_forwarded, ForwardedMode forwarded = ForwardedMode::off) {
    config::ProxyAction rules = bare();
    rules.x_forwarded = x_forwarded;
    rules.forwarded = forwarded;
    return rules;
}

const Fields kTold = {{"x-forwarded-for", "203.0.113.9"},
                      {"x-forwarded-proto", "https"},
                      {"x-forwarded-host", "shop.example"},
                      {"x-forwarded-port", "444"},
                      {"forwarded", "for=203.0.113.9"}};

ResponseHead answered(const Fields& fields) {
    ResponseHead head;
    for (const auto& [name, value] : fields) head.headers.add(name, value);
    return head;
}

}  // namespace

TEST_CASE("a request goes on as it came, but for what is of one connection", "[forwarding]") {
    const Fields kept = {{"accept", "*/*"},
                         {"x-a", "1"},
                         {"x-a", "2"},
                         {"empty", ""},
                         {"cookie", "a=b"},
                         {"proxy-authorization", "Basic eDp5"},
                         {"traceparent", "00-01"},
                         {"x-request-id", "7"},
                         {"trailer", "x-sum"}};
    CHECK(passed(kept) == kept);
    CHECK(passed({{"Host", "example.com"},
                  {"Connection", "keep-alive"},
                  {"Keep-Alive", "timeout=5"},
                  {"Proxy-Connection", "keep-alive"},
                  {"TE", "gzip"},
                  {"Transfer-Encoding", "chunked"},
                  {"Upgrade", "h2c"},
                  {"HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"},
                  {"Content-Length", "5"},
                  {"Expect", "100-continue"},
                  {"X-Stays", "1"}}) == Fields{{"x-stays", "1"}});
}

TEST_CASE("method, framing and scheme are the client's", "[forwarding]") {
    Asked asked;
    asked.head.method = "PROPFIND";
    asked.head.has_body = true;
    asked.head.content_length = 42;
    const OutgoingRequest& request = asked.through(bare());
    CHECK(request.method == "PROPFIND");
    CHECK(request.has_body);
    CHECK(request.content_length == 42u);
    CHECK(request.scheme == "http");

    auto loaded = TlsContext::load({.main = {.certificate = "self-signed"}}, {"web", {}, {}}, nullptr);
    const_cast<ListenerContext&>(*asked.context).tls = loaded.context;
    REQUIRE(asked.context->tls);
    asked.head.has_body = false;
    asked.head.content_length.reset();
    CHECK(asked.again().scheme == "https");
    CHECK_FALSE(asked.out.request.has_body);
    CHECK_FALSE(asked.out.request.content_length);
}

TEST_CASE("the authority is the client's with its port, or the route's, or the upstream's name", "[forwarding]") {
    config::ProxyAction rules = bare();
    Asked asked(Fields{{"host", "example.com:8080"}});
    CHECK(asked.through(rules).authority == "example.com:8080");
    asked.head.authority = {};
    CHECK(asked.through(rules).authority == "api");
    rules.host = "internal:9000";
    CHECK(asked.through(rules).authority == "internal:9000");
}

TEST_CASE("the target is the path without its prefix, and the query", "[forwarding]") {
    struct Case {
        const char *prefix, *path, *query, *target;
    };
    for (const Case& one : {Case{"", "/a/b", "", "/a/b"},
                            {"", "/a/b", "?q=1", "/a/b?q=1"},
                            {"", "*", "", "*"},
                            {"/a", "*", "", "*"},
                            {"/a", "/a", "", "/"},
                            {"/a", "/a", "?q", "/?q"},
                            {"/a", "/a/", "", "/"},
                            {"/a", "/a/b", "?q", "/b?q"},
                            {"/a/", "/a/b", "", "/b"},
                            {"/a/", "/a", "", "/"},
                            {"/a", "/ab", "?q", "/ab?q"},
                            {"/a/b", "/a/b/c", "", "/c"},
                            {"/a", "/b", "", "/b"},
                            {"/", "/b", "?q", "/b?q"}})
        for (const bool apart : {false, true}) {
            config::ProxyAction rules = bare();
            rules.strip_prefix = one.prefix;
            Asked asked;
            // In one piece, as the client's head has it; or the path somewhere else, as after normalising.
            asked.target = std::string(one.path) + one.query;
            asked.head.path_buffer = one.path;
            asked.head.path = apart ? std::string_view(asked.head.path_buffer)
                                    : std::string_view(asked.target).substr(0, std::string_view(one.path).size());
            asked.head.query = std::string_view(asked.target).substr(std::string_view(one.path).size());
            INFO(one.prefix << " " << one.path << " " << one.query);
            CHECK(asked.through(rules).target == one.target);
        }
}

TEST_CASE("trailers are for clients that take them", "[forwarding]") {
    const auto takes = [](const Fields& fields) {
        Asked asked(fields);
        const bool trailers = asked.through(bare()).trailers;
        CHECK(asked.out.request.headers.empty());
        return trailers;
    };
    CHECK_FALSE(takes({}));
    CHECK(takes({{"te", "trailers"}}));
    CHECK(takes({{"te", "gzip;q=0.5 , Trailers"}}));
    CHECK(takes({{"te", "gzip"}, {"te", "trailers"}}));
    CHECK_FALSE(takes({{"te", "gzip"}, {"te", "x-trailers"}}));
    CHECK_FALSE(takes({{"te", ""}}));
}

TEST_CASE("what a Connection field names goes", "[forwarding]") {
    CHECK(passed({{"connection", "X-Mine, close"}, {"x-mine", "1"}, {"x-mine", "2"}, {"x-theirs", "3"}}) ==
          Fields{{"x-theirs", "3"}});
    CHECK(passed({{"x-a", "1"}, {"connection", "x-a"}, {"connection", ",, x-b ,"}, {"x-b", "2"}, {"x-c", "3"}}) ==
          Fields{{"x-c", "3"}});
    const std::string lengthy(40, 'x');
    CHECK(passed({{"connection", lengthy}, {lengthy, "1"}, {lengthy + "x", "2"}}) == Fields{{lengthy + "x", "2"}});
}

TEST_CASE("a Connection field takes nothing that tells where the request comes from", "[forwarding]") {
    config::ProxyAction rules = with(ForwardedMode::append, ForwardedMode::append);
    rules.via = true;
    rules.set_request_headers = {{"X-Set", "ours"}};
    Fields sent = kTold;
    sent.emplace_back("connection",
                      "close, x-forwarded-for, x-forwarded-proto, X-Forwarded-Host, forwarded, via, x-set, "
                      "x-request-id, host, content-length");
    sent.emplace_back("via", "1.0 fred");
    sent.emplace_back("x-request-id", "7");
    const Fields went = passed(sent, rules, kProxy);
    CHECK(value_of(went, "x-forwarded-for") == "203.0.113.9, 10.1.2.3");
    CHECK(value_of(went, "x-forwarded-proto") == "https");
    CHECK(value_of(went, "x-forwarded-host") == "shop.example");
    CHECK(value_of(went, "forwarded") == "for=203.0.113.9, for=10.1.2.3;host=\"example.com:8080\";proto=http");
    CHECK(value_of(went, "via") == "several");
    CHECK(value_of(went, "x-request-id") == "7");
    CHECK(value_of(went, "x-set") == "ours");
    CHECK(value_of(passed({{"connection", "x-forwarded-for"}}, rules), "x-forwarded-for") == kStranger);
}

TEST_CASE("a Connection field of thousands of names is bounded work", "[forwarding]") {
    std::string names;
    for (int i = 0; i < 10'000; ++i) names += "x" + std::to_string(i % 500) + ",";
    Fields sent = {{"connection", names}};
    for (int i = 0; i < 90; ++i) sent.emplace_back("x" + std::to_string(i), "1");
    const Fields went = passed(sent);
    CHECK(went.size() == 26);
    CHECK(went.front().first == "x64");
}

TEST_CASE("names with an underscore are dropped unless they are allowed", "[forwarding]") {
    const Fields sent = {{"x_plain", "1"},
                         {"x_forwarded_for", "6.6.6.6"},
                         {"X-Forwarded_Anything_Else_That_Is_Long", "x"},
                         {"content_length", "9"},
                         {"transfer_encoding", "chunked"},
                         {"x_request-id", "8"},
                         {"_", "2"},
                         {"x-plain", "3"}};
    CHECK(passed(sent) == Fields{{"x-plain", "3"}});
    config::ProxyAction rules = bare();
    rules.allow_underscores = true;
    CHECK(passed(sent, rules) == Fields{{"x_plain", "1"}, {"_", "2"}, {"x-plain", "3"}});
    CHECK(passed(sent, rules, kProxy) == Fields{{"x_plain", "1"}, {"_", "2"}, {"x-plain", "3"}});
}

TEST_CASE("X-Forwarded-* of strangers are replaced", "[forwarding]") {
    for (const ForwardedMode mode : {ForwardedMode::append, ForwardedMode::replace})
        CHECK(passed(kTold, with(mode)) == Fields{{"x-forwarded-for", kStranger},
                                                  {"x-forwarded-proto", "http"},
                                                  {"x-forwarded-host", "example.com:8080"}});
    CHECK(passed(kTold, with(ForwardedMode::off)).empty());
}

TEST_CASE("X-Forwarded-* of trusted proxies are appended to, replaced, or left alone", "[forwarding]") {
    Fields told = kTold;
    told.pop_back();
    told.emplace_back("x-forwarded-for", "203.0.113.10, 203.0.113.11");
    told.emplace_back("x-forwarded-for", "");
    CHECK(passed(told, with(ForwardedMode::append), kProxy) ==
          Fields{{"x-forwarded-proto", "https"},
                 {"x-forwarded-host", "shop.example"},
                 {"x-forwarded-port", "444"},
                 {"x-forwarded-for", "203.0.113.9, 203.0.113.10, 203.0.113.11, 10.1.2.3"}});
    CHECK(passed(told, with(ForwardedMode::replace), kProxy) ==
          Fields{{"x-forwarded-for", kProxy}, {"x-forwarded-proto", "http"}, {"x-forwarded-host", "example.com:8080"}});
    CHECK(passed(told, with(ForwardedMode::off), kProxy) == told);
    CHECK(passed({}, with(ForwardedMode::append), kProxy) ==
          Fields{{"x-forwarded-for", kProxy}, {"x-forwarded-proto", "http"}, {"x-forwarded-host", "example.com:8080"}});
}

TEST_CASE("peers are named by their addresses", "[forwarding]") {
    const auto told = [](const std::string& peer) {
        return value_of(passed({{"x-forwarded-for", "203.0.113.9"}}, with(ForwardedMode::append), peer),
                        "x-forwarded-for");
    };
    CHECK(told("0.0.0.0") == "0.0.0.0");
    CHECK(told("255.254.100.99") == "255.254.100.99");
    CHECK(told("2001:db8::1") == "2001:db8::1");
    CHECK(told("::ffff:192.0.2.7") == "192.0.2.7");
    CHECK(told("::ffff:10.0.0.7") == "203.0.113.9, 10.0.0.7");
    CHECK(told("unix") == "203.0.113.9");
    CHECK(value_of(passed({}, with(ForwardedMode::append), "unix"), "x-forwarded-for") == "-");
}

TEST_CASE("Forwarded is quoted where it must be", "[forwarding]") {
    const auto element = [](const std::string& peer, std::string_view authority) {
        Asked asked({}, peer);
        asked.head.authority = authority;
        return value_of(fields_of(asked.through(with(ForwardedMode::off, ForwardedMode::append)).headers), "forwarded");
    };
    CHECK(element(kStranger, "example.com") == "for=192.0.2.1;host=example.com;proto=http");
    CHECK(element(kStranger, "example.com:80") == "for=192.0.2.1;host=\"example.com:80\";proto=http");
    CHECK(element("2001:db8::1", "[::1]:80") == "for=\"[2001:db8::1]\";host=\"[::1]:80\";proto=http");
    CHECK(element("::ffff:192.0.2.7", "a,b;c=d") == "for=192.0.2.7;host=\"a,b;c=d\";proto=http");
    CHECK(element("unix", "") == "proto=http");
    CHECK(element(kStranger, "a\"b\\c") == "for=192.0.2.1;host=\"a\\\"b\\\\c\";proto=http");
}

TEST_CASE("Forwarded is appended, replaced or left alone like the others", "[forwarding]") {
    const Fields told = {{"forwarded", "for=_a"}, {"x-a", "1"}, {"forwarded", "for=_b;by=_c"}};
    const auto sent = [&](ForwardedMode mode, const char* from) {
        return value_of(passed(told, with(ForwardedMode::off, mode), from), "forwarded");
    };
    const std::string ours = ";host=\"example.com:8080\";proto=http";
    CHECK(sent(ForwardedMode::append, kProxy) == "for=_a, for=_b;by=_c, for=10.1.2.3" + ours);
    CHECK(sent(ForwardedMode::append, kStranger) == "for=192.0.2.1" + ours);
    CHECK(sent(ForwardedMode::replace, kProxy) == "for=10.1.2.3" + ours);
    CHECK(sent(ForwardedMode::replace, kStranger) == "for=192.0.2.1" + ours);
    CHECK(sent(ForwardedMode::off, kProxy) == "several");
    CHECK(sent(ForwardedMode::off, kStranger) == "-");
}

TEST_CASE("Via names the version that was received", "[forwarding]") {
    config::ProxyAction rules = bare();
    rules.via = true;
    Asked asked(Fields{{"via", "1.0 fred"}});
    const auto via = [&](HttpVersion version) {
        asked.head.version = version;
        return fields_of(asked.through(rules).headers);
    };
    CHECK(via(HttpVersion::http11) == Fields{{"via", "1.0 fred"}, {"via", "1.1 sluice"}});
    CHECK(via(HttpVersion::http10).back().second == "1.0 sluice");
    CHECK(via(HttpVersion::http2).back().second == "2 sluice");

    ResponseHead head = answered({{"via", "1.0 fred"}});
    Forwarding(rules).answer(head, config::UpstreamProtocol::http2);
    CHECK(fields_of(head.headers) == Fields{{"via", "1.0 fred"}, {"via", "2 sluice"}});
    head = answered({});
    Forwarding(rules).answer(head);
    CHECK(fields_of(head.headers) == Fields{{"via", "1.1 sluice"}});
}

TEST_CASE("a request id is made where there is none, or none that is believed", "[forwarding]") {
    config::ProxyAction rules = bare();
    rules.request_id = config::RequestId::make;
    CHECK(value_of(passed({{"x-request-id", "7"}}, rules, kProxy), "x-request-id") == "7");
    CHECK(value_of(passed({}, rules, kProxy), "x-request-id").size() == 32);
    CHECK(value_of(passed({{"x-request-id", "7"}, {"x-request-id", "8"}}, rules), "x-request-id").size() == 32);

    Asked asked;
    asked.exchange.trace_id = 1;
    const std::string first = value_of(fields_of(asked.through(rules).headers), "x-request-id");
    CHECK(value_of(fields_of(asked.again().headers), "x-request-id") == first);  // another attempt
    asked.exchange.trace_id = 2;
    CHECK(value_of(fields_of(asked.again().headers), "x-request-id") != first);
}

TEST_CASE("a route's own changes come last", "[forwarding]") {
    config::ProxyAction rules = with(ForwardedMode::append);
    rules.set_request_headers = {{"X-Set", "ours"}, {"X-Forwarded-Proto", "https"}};
    rules.add_request_headers = {{"X-Add", "more"}, {"Proxy-Connection", "close"}};
    rules.remove_request_headers = {"Cookie", "X-Forwarded-Host"};
    CHECK(passed({{"x-set", "a"}, {"cookie", "a=b"}, {"x-set", "b"}, {"x-add", "1"}}, rules) ==
          Fields{{"x-add", "1"},
                 {"x-forwarded-for", kStranger},
                 {"x-set", "ours"},
                 {"x-forwarded-proto", "https"},
                 {"x-add", "more"}});

    rules.set_response_headers = {{"Server", "hidden"}};
    rules.add_response_headers = {{"X-Add", "more"}};
    rules.remove_response_headers = {"X-Powered-By", "Date"};
    ResponseHead head = answered({{"server", "x/1"}, {"x-powered-by", "php"}, {"date", "today"}, {"x-add", "1"}});
    Forwarding(rules).answer(head);
    CHECK(fields_of(head.headers) == Fields{{"x-add", "1"}, {"server", "hidden"}, {"x-add", "more"}});
    CHECK_FALSE(head.dated);
}

TEST_CASE("an answer loses what is of one connection, in place", "[forwarding]") {
    ResponseHead head = answered({{"Content-Length", "5"},
                                  {"Connection", "keep-alive, x-mine"},
                                  {"Keep-Alive", "timeout=5"},
                                  {"X-Mine", "1"},
                                  {"Transfer-Encoding", "chunked"},
                                  {"Upgrade", "h2c"},
                                  {"Proxy-Connection", "close"},
                                  {"TE", "x"},
                                  {"Alt-Svc", "h3"},
                                  {"Proxy-Authenticate", "Basic"},
                                  {"Set-Cookie", "a=1"},
                                  {"Set-Cookie", "b=2"},
                                  {"x_underscore", "1"},
                                  {"X-Forwarded-For", "theirs"},
                                  {"Date", "today"}});
    head.content_length = 5;
    Forwarding(bare()).answer(head);
    CHECK(fields_of(head.headers) == Fields{{"alt-svc", "h3"},
                                            {"proxy-authenticate", "Basic"},
                                            {"set-cookie", "a=1"},
                                            {"set-cookie", "b=2"},
                                            {"x_underscore", "1"},
                                            {"x-forwarded-for", "theirs"},
                                            {"date", "today"}});
    CHECK(head.dated);
    CHECK(head.content_length == 5u);

    head = answered({{"connection", "date, via"}, {"date", "today"}, {"via", "1.0 fred"}});
    Forwarding(bare()).answer(head);
    CHECK(fields_of(head.headers) == Fields{{"via", "1.0 fred"}});
    CHECK_FALSE(head.dated);
}

TEST_CASE("an interim answer goes on without hop-by-hop fields, and without a route's changes", "[forwarding]") {
    config::ProxyAction rules = bare();
    rules.via = true;
    rules.set_response_headers = {{"server", "x"}};
    ResponseHead from =
        answered({{"link", "</a.css>"}, {"connection", "x-mine"}, {"x-mine", "1"}, {"keep-alive", "5"}});
    from.status = 103;
    ResponseHead to;
    to.headers.add("old", "1");
    Forwarding(rules).interim(from, to);
    CHECK(to.status == 103);
    CHECK(fields_of(to.headers) == Fields{{"link", "</a.css>"}});
}

TEST_CASE("trailers bring nothing that frames a message, or that a head may not have", "[forwarding]") {
    config::ProxyAction rules = bare();
    rules.remove_request_headers = {"X-Internal"};
    rules.set_request_headers = {{"X-Set", "1"}};
    rules.remove_response_headers = {"X-Powered-By"};
    const HeaderMap trailers{{"x-sum", "1"},
                             {"Content-Length", "3"},
                             {"Transfer-Encoding", "chunked"},
                             {"Host", "evil"},
                             {"Connection", "x-sum"},
                             {"TE", "trailers"},
                             {"Keep-Alive", "5"},
                             {"X-Forwarded-For", "6.6"},
                             {"Forwarded", "for=6"},
                             {"X-Request-Id", "6"},
                             {"X_Forwarded_For", "6.6"},
                             {"x_y", "2"},
                             {"X-Internal", "6"},
                             {"x-set", "6"},
                             {"x-powered-by", "php"},
                             {"grpc-status", "0"}};
    const Forwarding forwarding(rules);
    HeaderMap to{{"old", "1"}};
    forwarding.request_trailers(trailers, to);
    CHECK(fields_of(to) == Fields{{"x-sum", "1"}, {"x-powered-by", "php"}, {"grpc-status", "0"}});
    forwarding.answer_trailers(trailers, to);
    CHECK(value_of(fields_of(to), "x_y") == "2");
    CHECK(value_of(fields_of(to), "grpc-status") == "0");
    for (const char* name :
         {"content-length", "transfer-encoding", "host", "connection", "te", "keep-alive", "x-powered-by"})
        CHECK(value_of(fields_of(to), name) == "-");
}

TEST_CASE("buffers are used again", "[forwarding]") {
    config::ProxyAction rules = with(ForwardedMode::append, ForwardedMode::append);
    rules.via = true;
    rules.request_id = config::RequestId::make;
    rules.strip_prefix = "/a";
    Asked asked({{"host", "example.com"}, {"user-agent", "x"}, {"x-forwarded-for", "1.1.1.1"}}, "2001:db8::1");
    asked.head.path_buffer = "/a/b";
    asked.head.path = asked.head.path_buffer;
    asked.through(rules);
    const std::size_t headers = asked.out.request.headers.capacity(), text = asked.out.text.capacity();
    const Fields first = fields_of(asked.out.request.headers);
    for (int i = 0; i < 100; ++i) asked.again();
    CHECK(fields_of(asked.out.request.headers) == first);
    CHECK(asked.out.request.target == "/b?q=1");
    CHECK(asked.out.request.headers.capacity() == headers);
    CHECK(asked.out.text.capacity() == text);
}
