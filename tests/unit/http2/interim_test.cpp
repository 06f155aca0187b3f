#include "tests/unit/http2/session_support.h"

using namespace sluice;
using namespace sluice::test;
using namespace sluice::test::h2;

namespace {

const Fields kHint = {{":status", "103"}, {"link", "</a.css>"}};

ResponseHead hint() { return {.status = 103, .headers = {{"link", "</a.css>"}}}; }

}  // namespace

TEST_CASE("interim answers go before the answer", "[http2]") {
    const auto fragment = GENERATE(from_range(std::begin(kFragmentSizes), std::end(kFragmentSizes)));
    Talk talk;
    const std::int32_t id = talk.client.get("/hold");
    talk.exchange(fragment);
    talk.stream().send_interim(hint());
    talk.run();
    CHECK(talk.client.answer(id).interims == std::vector<Fields>{kHint});
    CHECK(talk.client.answer(id).status == 0);
    // Together with the answer, whose text is another.
    talk.stream().send_interim({.status = 102});
    talk.stream().send_interim(hint());
    talk.answer_held();
    CHECK(talk.client.answer(id).interims == std::vector<Fields>{kHint, {{":status", "102"}}, kHint});
    CHECK(talk.client.answer(id).plain() == ok("hello"));
}

TEST_CASE("interim answers after the head are left out", "[http2]") {
    Talk talk;
    const std::int32_t id = talk.client.get("/hold");
    talk.exchange();
    talk.stream().send_head({}, End::no);
    talk.stream().send_interim(hint());
    talk.stream().send_body(Bytes("x"), End::yes);
    talk.run();
    CHECK(talk.client.answer(id).interims.empty());
    CHECK(talk.client.answer(id).body == "x");
}

TEST_CASE("an answer that has a date gets no other", "[http2]") {
    const bool dated = GENERATE(false, true);
    Talk talk;
    const std::int32_t id = talk.client.get("/hold");
    talk.exchange();
    ResponseHead head;
    head.dated = dated;
    if (dated) head.headers.add("date", "yesterday");
    talk.stream().send_head(head, End::yes);
    talk.run();
    const Fields& fields = talk.client.answer(id).fields;
    CHECK(std::count_if(fields.begin(), fields.end(), [](const auto& field) { return field.first == "date"; }) == 1);
    CHECK((talk.client.answer(id).field("date") == "yesterday") == dated);
}
