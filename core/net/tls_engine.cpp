#include "core/net/tls_transport.h"

namespace sluice {

void TlsEngine::begin_turn() {
    if (turn_ == loop_.turn()) return;
    turn_ = loop_.turn();
    bio_.io().hellos_left = kHandshakesPerTurn;
}

// Nobody overtakes those who wait.
bool TlsEngine::has_turn() {
    begin_turn();
    return waiting_.empty() && bio_.io().hellos_left > 0;
}

void TlsEngine::wait(TlsWaiting& handshake) {
    waiting_.push_back(handshake);
    loop_.schedule(*this);
}

// Steps are counted as well as signatures: many that fail are no reason to keep the others from their sockets.
void TlsEngine::run() {
    begin_turn();
    for (int step = 0; step < kHandshakesPerTurn && !waiting_.empty() && bio_.io().hellos_left > 0; ++step)
        waiting_.pop_front().proceed();
    if (!waiting_.empty()) loop_.schedule(*this);
}

}  // namespace sluice
