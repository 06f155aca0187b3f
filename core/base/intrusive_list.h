#pragma once
// A doubly linked list whose links live inside its elements: no allocation, O(1) removal from anywhere.
// The list owns nothing. An element is in at most one list per Tag and leaves it when it is destroyed.

namespace sluice {

template <class Tag>
class ListNode {
public:
    ListNode() = default;
    ListNode(const ListNode&) = delete;
    ListNode& operator=(const ListNode&) = delete;
    ~ListNode() { unlink(); }

    bool linked() const { return next_ != nullptr; }

    void unlink() {
        if (!next_) return;
        prev_->next_ = next_;
        next_->prev_ = prev_;
        prev_ = next_ = nullptr;
    }

private:
    template <class T, class Tag2>
    friend class IntrusiveList;
    ListNode* prev_ = nullptr;
    ListNode* next_ = nullptr;
};

// T derives from ListNode<Tag>.
template <class T, class Tag>
class IntrusiveList {
    using Node = ListNode<Tag>;

public:
    IntrusiveList() { head_.prev_ = head_.next_ = &head_; }
    ~IntrusiveList() {
        while (!empty()) pop_front();
        head_.prev_ = head_.next_ = nullptr;
    }

    bool empty() const { return head_.next_ == &head_; }
    T& front() { return static_cast<T&>(*head_.next_); }
    T& back() { return static_cast<T&>(*head_.prev_); }

    // Moves the element here if it is in another list of the same Tag.
    void push_back(T& element) {
        Node& node = element;
        node.unlink();
        node.prev_ = head_.prev_;
        node.next_ = &head_;
        head_.prev_->next_ = &node;
        head_.prev_ = &node;
    }

    T& pop_front() {
        T& first = front();
        static_cast<Node&>(first).unlink();
        return first;
    }

    // Appends all of `other`, which is empty afterwards.
    void take(IntrusiveList& other) {
        if (other.empty()) return;
        Node& first = *other.head_.next_;
        Node& last = *other.head_.prev_;
        first.prev_ = head_.prev_;
        head_.prev_->next_ = &first;
        last.next_ = &head_;
        head_.prev_ = &last;
        other.head_.prev_ = other.head_.next_ = &other.head_;
    }

    // `visit` may remove the element that it is given, and no other.
    template <class Visit>
    void for_each(Visit&& visit) {
        for (Node* node = head_.next_; node != &head_;) {
            Node* next = node->next_;
            visit(static_cast<T&>(*node));
            node = next;
        }
    }

    // The last that fits, or null.
    template <class Fits>
    T* find_last_if(Fits&& fits) {
        for (Node* node = head_.prev_; node != &head_; node = node->prev_)
            if (fits(static_cast<T&>(*node))) return static_cast<T*>(node);
        return nullptr;
    }

    // The first that fits, or null.
    template <class Fits>
    T* find_if(Fits&& fits) {
        for (Node* node = head_.next_; node != &head_; node = node->next_)
            if (fits(static_cast<T&>(*node))) return static_cast<T*>(node);
        return nullptr;
    }

private:
    Node head_;
};

}  // namespace sluice
