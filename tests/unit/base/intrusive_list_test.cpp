#include "core/base/intrusive_list.h"

#include <catch2/catch.hpp>
#include <memory>
#include <string>

using namespace sluice;

namespace {

struct Red;
struct Blue;
struct Item : ListNode<Red>, ListNode<Blue> {
    explicit Item(char letter) : name(letter) {}
    char name;
};

template <class List>
std::string names(List& list) {
    std::string text;
    list.for_each([&](Item& item) { text += item.name; });
    return text;
}

}  // namespace

TEST_CASE("an intrusive list keeps its order and lets go from anywhere", "[intrusive_list]") {
    Item a('a'), b('b'), c('c');
    IntrusiveList<Item, Red> list;
    CHECK(list.empty());
    for (Item* item : {&a, &b, &c}) list.push_back(*item);
    CHECK(names(list) == "abc");
    static_cast<ListNode<Red>&>(b).unlink();
    CHECK_FALSE(static_cast<ListNode<Red>&>(b).linked());
    CHECK(names(list) == "ac");
    list.push_back(a);  // moves to the end
    CHECK(names(list) == "ca");
    CHECK(list.pop_front().name == 'c');
    CHECK(list.front().name == 'a');
}

TEST_CASE("an element may be in a list of each tag, and leaves all when it dies", "[intrusive_list]") {
    IntrusiveList<Item, Red> red;
    IntrusiveList<Item, Blue> blue;
    {
        Item a('a');
        red.push_back(a);
        blue.push_back(a);
        CHECK(names(red) == "a");
        CHECK(names(blue) == "a");
    }
    CHECK(red.empty());
    CHECK(blue.empty());
}

TEST_CASE("a list that dies lets its elements go", "[intrusive_list]") {
    Item a('a');
    {
        IntrusiveList<Item, Red> list;
        list.push_back(a);
    }
    CHECK_FALSE(static_cast<ListNode<Red>&>(a).linked());
}

TEST_CASE("take appends a whole list", "[intrusive_list]") {
    Item a('a'), b('b'), c('c');
    IntrusiveList<Item, Red> first, second, empty;
    first.push_back(a);
    second.push_back(b);
    second.push_back(c);
    first.take(second);
    first.take(empty);
    CHECK(second.empty());
    CHECK(names(first) == "abc");
    second.push_back(a);
    CHECK(names(first) == "bc");
    CHECK(names(second) == "a");
}

TEST_CASE("an element may leave or move while it is visited", "[intrusive_list]") {
    Item a('a'), b('b'), c('c');
    IntrusiveList<Item, Red> list, other;
    for (Item* item : {&a, &b, &c}) list.push_back(*item);
    list.for_each([&](Item& item) {
        if (item.name != 'b') other.push_back(item);
    });
    CHECK(names(list) == "b");
    CHECK(names(other) == "ac");
}
