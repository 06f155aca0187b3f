"""The words of the admin API that tests depend on, each in one place.

A set holds every reason under which the case may rightly be counted.
"""

PEER = {"peer_closed", "peer_reset"}
COMPLETED = {"completed"}  # after an answer, as the request asked
KEEP_ALIVE = {"keep_alive_timeout"}
HEADERS_TIMEOUT = {"headers_timeout"}
REQUEST_TIMEOUT = {"request_timeout"}
WRITE_TIMEOUT = {"write_timeout"}
MIN_DATA_RATE = {"min_data_rate"}
MAX_REQUESTS = {"max_requests"}
SHED = {"shed"}
DRAIN = {"drain"}
DRAIN_DEADLINE = {"drain_deadline"}
HANDSHAKE_TIMEOUT = {"handshake_timeout"}
HANDSHAKE_FAILED = {"handshake_failed"}
SESSION_IDLE = {"session_idle_timeout"}
PROTOCOL_ERROR = {"protocol_error"}
FLOOD = {"flood"}
KILLED = {"killed"}
CONNECTION_TIMEOUT = {"connection_timeout"}
PONG_TIMEOUT = {"pong_timeout"}
CLOSE_TIMEOUT = {"close_timeout"}
UPSTREAM_GONE = {"upstream_gone"}

# What a WebSocket that broke a rule is counted under, by the code of the Close.
BY_CLOSE_CODE = {
    1002: PROTOCOL_ERROR,
    1007: {"bad_data"},
    1008: {"too_fast"},
    1009: {"message_too_large"},
    1013: {"slow_consumer"},
}

# What a refusal is counted under, by its status.
BY_STATUS = {
    400: {"bad_request"},
    408: HEADERS_TIMEOUT | REQUEST_TIMEOUT | MIN_DATA_RATE,
    413: {"body_too_large"},
    414: {"uri_too_long"},
    417: {"expectation_failed"},
    431: {"header_too_large"},
    501: {"not_implemented"},
    505: {"version_not_supported"},
}

REJECTED_MAX = {"max_connections"}
REJECTED_PER_CLIENT = {"max_connections_per_client"}


def count(counters, reasons):
    """How often any of the reasons stands in a status object's counters."""
    return sum(counters.get(reason, 0) for reason in reasons)
